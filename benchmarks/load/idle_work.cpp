#include "benchmarks/load/idle_streams.hpp"
#include "benchmarks/load/works.hpp"

namespace muxsocks::load {

namespace {

constexpr std::uint64_t default_payload_bytes = 16384;

} // namespace

json measure_idle(const options& what, outcome& ends) {
    event_loop loop;
    const std::uint64_t payload = what.bytes != 0 ? what.bytes : default_payload_bytes;
    idle_streams streams(loop, what.way, what.streams, payload);
    usage_meter meter(what);
    json result;

    meter.begin();
    const auto begun = clock::now();
    const auto limit = begun + what.time_limit;
    if (streams.open(limit)) {
        const auto opened = clock::now();
        if (streams.carry(limit)) {
            const auto carried = clock::now();
            streams.hold(carried + what.hold);
            meter.end();
            result["streams"] = what.streams;
            result["open_seconds"] = seconds_between(begun, opened);
            result["carry_seconds"] = seconds_between(opened, carried);
            meter.write_to(result);
            for (auto& one : result["processes"]) {
                const auto growth = [&](const char* after, const char* before) {
                    return (one[after].get<double>() - one[before].get<double>()) /
                           static_cast<double>(what.streams);
                };
                one["rss_bytes_per_stream"] = growth("rss_after_bytes", "rss_before_bytes");
                one["anonymous_bytes_per_stream"] =
                    growth("anonymous_after_bytes", "anonymous_before_bytes");
            }
        }
    }
    streams.add_to(ends);
    return result;
}

} // namespace muxsocks::load
