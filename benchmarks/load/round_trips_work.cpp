#include "benchmarks/load/bulk_streams.hpp"
#include "benchmarks/load/counters_client.hpp"
#include "benchmarks/load/works.hpp"

#include <atomic>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

/// Sends a byte as soon as the last one is back.
class ping_stream final : public stream {
  public:
    ping_stream(event_loop& loop, const route& way, std::vector<float>& times,
                const std::atomic<bool>& recording, outcome& ends)
        : stream(loop, way), times_(times), recording_(recording), ends_(ends) {}

  protected:
    void on_open() override { ping(); }

    void on_io(std::uint32_t /*events*/) override {
        const auto bytes = receive(64);
        if (!bytes) return;
        if (bytes->size() != 1 || bytes->front() != echoed_byte) {
            ++ends_.wrong;
            finish();
            return;
        }
        if (recording_.load(std::memory_order_relaxed)) {
            times_.push_back(static_cast<float>(seconds_between(sent_, clock::now())));
        }
        ping();
    }

    void on_end() override {
        if (!failure().empty()) ends_.add_failure(failure());
    }

  private:
    void ping() {
        sent_ = clock::now();
        send_small(&echoed_byte, 1);
    }

    std::vector<float>& times_;
    const std::atomic<bool>& recording_;
    outcome& ends_;
    clock::time_point sent_;
};

/// The pings on a thread of their own: beside bulk streams they wait for the proxy and the kernel,
/// not for this program's own work.
class ping_thread {
  public:
    explicit ping_thread(const options& what) : what_(what) { times.reserve(1 << 20U); }

    void start() {
        thread_ = std::jthread([this](const std::stop_token& stop) {
            try {
                run(stop);
            } catch (...) {
                error_ = std::current_exception();
            }
        });
    }

    /// Whether round trips are recorded from now on; those before warm everything up.
    void record(bool on) { recording_ = on; }

    void stop() {
        thread_.request_stop();
        thread_.join();
        if (error_) std::rethrow_exception(error_);
    }

    std::vector<float> times; ///< of round trips in seconds; valid after stop()
    outcome ends;

  private:
    void run(const std::stop_token& stop) {
        event_loop loop;
        std::vector<std::unique_ptr<ping_stream>> streams;
        for (std::size_t i = 0; i < what_.streams; ++i) {
            streams.push_back(
                std::make_unique<ping_stream>(loop, what_.way, times, recording_, ends));
            streams.back()->start();
        }
        while (!stop.stop_requested())
            loop.turn(100ms);
    }

    const options& what_;
    std::atomic<bool> recording_{false};
    std::exception_ptr error_;
    std::jthread thread_;
};

constexpr auto warm_up = 500ms;

} // namespace

json measure_round_trips(const options& what, outcome& ends) {
    event_loop loop;
    counters_client counters(what.control, what.way.settings);
    const target_counters before = counters.read();
    bulk_streams bulk(loop, what.way, what.towards, what.beside_bulk, 0);
    usage_meter meter(what);
    ping_thread pings(what);
    json result;

    const bool opened = bulk.open(clock::now() + what.time_limit);
    if (opened) {
        bulk.begin();
        pings.start();
        const auto idle_until = [&](clock::time_point deadline) {
            if (what.beside_bulk == 0) std::this_thread::sleep_until(deadline);
            bulk.run_until(deadline);
        };
        idle_until(clock::now() + warm_up);
        meter.begin();
        const std::uint64_t bulk_before = bulk.bytes();
        pings.record(true);
        idle_until(clock::now() + what.duration);
        pings.record(false);
        const auto bulk_bytes = static_cast<double>(bulk.bytes() - bulk_before);
        meter.end();
        pings.stop();
        bulk.stop();
        bulk.run_until_ended(clock::now() + what.time_limit);

        const auto count = static_cast<double>(pings.times.size());
        result["round_trips"] = pings.times.size();
        result["round_trips_per_second"] = count / meter.elapsed_seconds();
        result["round_trip"] = percentiles_ms(pings.times);
        result["bulk_mb_per_second"] = bulk_bytes / 1e6 / meter.elapsed_seconds();
        meter.write_to(result);
        if (what.beside_bulk == 0 && count > 0) {
            result["cpu_us_per_round_trip"] = meter.cpu_seconds() / count * 1e6;
        }
        ends = pings.ends;
        if (count == 0 && ends.failed == 0) {
            ends.add_failure("not one byte came back within the time");
        }
    }
    bulk.add_to(ends);
    ends.wrong += counters.read().faults - before.faults;
    return result;
}

} // namespace muxsocks::load
