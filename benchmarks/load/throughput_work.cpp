#include "benchmarks/load/bulk_streams.hpp"
#include "benchmarks/load/counters_client.hpp"
#include "benchmarks/load/idle_streams.hpp"
#include "benchmarks/load/works.hpp"

#include <optional>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t idle_payload_bytes = 16384;

/// Long enough for every buffer between the target and a stalled stream to fill up.
constexpr auto stalled_settle = 1s;

class throughput_run {
  public:
    throughput_run(const options& what, outcome& ends)
        : what_(what),
          ends_(ends),
          meter_(what),
          counters_(what.control, what.way.settings),
          idle_(loop_, what.way, what.beside_idle, idle_payload_bytes),
          stalled_(loop_, what.way, direction::down, what.beside_stalled, what.stalled_bytes),
          measured_(loop_, what.way, what.towards, what.streams, what.bytes) {}

    json run() {
        json result;
        before_ = counters_.read();
        const auto limit = clock::now() + what_.time_limit;
        if (idle_.open(limit) && idle_.carry(limit) && stalled_.open(limit) &&
            measured_.open(limit)) {
            measure();
            write(result);
        }
        if (what_.beside_stalled != 0 && what_.stalled_bytes != 0) read_stalled(result);
        add_ends();
        return result;
    }

  private:
    void measure() {
        stalled_.begin();
        stalled_.pause(true);
        if (what_.beside_stalled != 0) idle_.hold(clock::now() + stalled_settle);
        meter_.begin();
        begun_ = clock::now();
        measured_.begin();
        measured_.run_until(begun_ + what_.from);
        window_begin_ = clock::now();
        window_bytes_ = arrived();
        if (what_.bytes == 0) {
            measured_.run_until(begun_ + what_.duration);
            close_window();
            measured_.stop();
            measured_.run_until_ended(clock::now() + what_.time_limit);
        } else {
            measured_.run_until_ended(begun_ + what_.time_limit);
            close_window();
        }
        meter_.end();
    }

    /// Payload bytes that have arrived where they were going to.
    std::uint64_t arrived() {
        if (what_.towards == direction::down) return measured_.bytes();
        return counters_.read().bytes_received - before_.bytes_received;
    }

    void close_window() {
        window_bytes_ = arrived() - window_bytes_;
        window_seconds_ = seconds_between(window_begin_, clock::now());
    }

    void write(json& result) {
        const auto bytes = static_cast<double>(measured_.bytes());
        result["bytes"] = measured_.bytes();
        result["mb_per_second"] = bytes / 1e6 / meter_.elapsed_seconds();
        result["window_seconds"] = window_seconds_;
        result["window_mb_per_second"] = static_cast<double>(window_bytes_) / 1e6 / window_seconds_;
        measured_.write_rates(result, begun_);
        meter_.write_to(result);
        result["cpu_seconds_per_gb"] = bytes > 0 ? meter_.cpu_seconds() / (bytes / 1e9) : 0.0;
    }

    /// What was owed to the stalled streams must still arrive, whole.
    void read_stalled(json& result) {
        const auto begin = clock::now();
        stalled_.pause(false);
        stalled_.run_until_ended(begin + what_.time_limit);
        stalled_.add_to(ends_);
        result["stalled_read_seconds"] = seconds_between(begin, clock::now());
        result["stalled_bytes"] = stalled_.bytes();
    }

    void add_ends() {
        measured_.add_to(ends_);
        idle_.add_to(ends_);
        ends_.wrong += counters_.read().faults - before_.faults;
    }

    const options& what_;
    outcome& ends_;
    event_loop loop_;
    usage_meter meter_;
    counters_client counters_;
    idle_streams idle_;
    bulk_streams stalled_;
    bulk_streams measured_;
    target_counters before_;
    clock::time_point begun_;
    clock::time_point window_begin_;
    std::uint64_t window_bytes_ = 0;
    double window_seconds_ = 0;
};

} // namespace

json measure_throughput(const options& what, outcome& ends) {
    return throughput_run(what, ends).run();
}

} // namespace muxsocks::load
