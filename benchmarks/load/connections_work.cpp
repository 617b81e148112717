#include "benchmarks/load/works.hpp"

#include <memory>
#include <vector>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

/// More failures than this and the proxy is given up.
constexpr std::uint64_t failures_max = 1000;

/// Opens, sends a byte, receives it, closes; again and again.
class short_stream final : public stream {
  public:
    short_stream(event_loop& loop, const route& way, std::vector<float>& times,
                 std::vector<short_stream*>& resting, outcome& ends)
        : stream(loop, way), times_(times), resting_(resting), ends_(ends) {}

    void run_once() {
        begun_ = clock::now();
        echoed_ = false;
        start();
    }

  protected:
    void on_open() override { send_small(&echoed_byte, 1); }

    void on_io(std::uint32_t /*events*/) override {
        const auto bytes = receive(64);
        if (!bytes) return;
        if (bytes->size() != 1 || bytes->front() != echoed_byte) ++ends_.wrong;
        times_.push_back(static_cast<float>(seconds_between(begun_, clock::now())));
        echoed_ = true;
        finish();
    }

    void on_end() override {
        if (!echoed_) ends_.add_failure(failure());
        resting_.push_back(this);
    }

  private:
    std::vector<float>& times_;
    std::vector<short_stream*>& resting_;
    outcome& ends_;
    clock::time_point begun_;
    bool echoed_ = false;
};

} // namespace

json measure_connections(const options& what, outcome& ends) {
    event_loop loop;
    std::vector<float> times;
    std::vector<short_stream*> resting;
    std::vector<std::unique_ptr<short_stream>> streams;
    times.reserve(1 << 20U);
    for (std::size_t i = 0; i < what.streams; ++i) {
        streams.push_back(std::make_unique<short_stream>(loop, what.way, times, resting, ends));
        resting.push_back(streams.back().get());
    }
    usage_meter meter(what);
    meter.begin();
    const auto begun = clock::now();
    const auto deadline = begun + (what.count == 0 ? what.duration : what.time_limit);
    std::uint64_t started = 0;
    const auto may_start = [&] {
        return clock::now() < deadline && ends.failed < failures_max &&
               (what.count == 0 || started < what.count);
    };
    while (may_start()) {
        // start() may fail at once and put the stream back; the batch keeps that from recursing.
        auto batch = std::exchange(resting, {});
        for (short_stream* one : batch) {
            if (what.count != 0 && started >= what.count) break;
            ++started;
            one->run_once();
        }
        loop.turn(resting.empty() ? 10ms : 0ms);
    }
    const auto ended = clock::now();
    const auto done = times.size();
    const auto limit = ended + what.time_limit;
    while (times.size() + ends.failed < started && clock::now() < limit)
        loop.turn(10ms);
    meter.end();
    ends.unfinished += started - times.size() - ends.failed;

    json result;
    const auto total = static_cast<double>(times.size());
    const bool by_count = what.count != 0;
    result["connections"] = times.size();
    result["connections_per_second"] =
        by_count ? total / meter.elapsed_seconds()
                 : static_cast<double>(done) / seconds_between(begun, ended);
    result["time_to_echo"] = percentiles_ms(times);
    meter.write_to(result);
    result["cpu_seconds_per_1000"] = total > 0 ? meter.cpu_seconds() / total * 1000 : 0.0;
    return result;
}

} // namespace muxsocks::load
