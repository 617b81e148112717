#include "benchmarks/load/measurement.hpp"

#include <algorithm>
#include <numeric>

namespace muxsocks::load {

namespace {

double sum_cpu(const std::vector<process_usage>& usages) {
    return std::accumulate(
        usages.begin(), usages.end(), 0.0,
        [](double sum, const process_usage& usage) { return sum + usage.cpu_seconds(); });
}

} // namespace

double seconds_between(clock::time_point from, clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

usage_meter::reading usage_meter::read() const {
    return {usage_of(options_.pids), usage_of(options_.helpers), own_cpu_seconds(),
            machine_busy_seconds()};
}

void usage_meter::begin() {
    before_ = read();
    begin_time_ = clock::now();
}

void usage_meter::end() {
    end_time_ = clock::now();
    after_ = read();
}

double usage_meter::cpu_seconds() const {
    return sum_cpu(after_.measured) - sum_cpu(before_.measured);
}

void usage_meter::write_to(json& result) const {
    const double helpers = sum_cpu(after_.helpers) - sum_cpu(before_.helpers);
    const double own = after_.own_seconds - before_.own_seconds;
    const double machine = after_.machine_seconds - before_.machine_seconds;
    result["elapsed_seconds"] = elapsed_seconds();
    result["cpu_seconds"] = cpu_seconds();
    result["load_cpu_seconds"] = own;
    result["helper_cpu_seconds"] = helpers;
    result["foreign_cpu_seconds"] = std::max(0.0, machine - own - helpers - cpu_seconds());
    auto processes = json::array();
    for (std::size_t i = 0; i < options_.pids.size(); ++i) {
        const process_usage& before = before_.measured[i];
        const process_usage& after = after_.measured[i];
        json one;
        one["pid"] = options_.pids[i];
        one["processes"] = after.processes;
        one["user_seconds"] = after.user_seconds - before.user_seconds;
        one["system_seconds"] = after.system_seconds - before.system_seconds;
        one["rss_before_bytes"] = before.resident_bytes;
        one["rss_after_bytes"] = after.resident_bytes;
        one["anonymous_before_bytes"] = before.anonymous_bytes;
        one["anonymous_after_bytes"] = after.anonymous_bytes;
        processes.push_back(std::move(one));
    }
    result["processes"] = std::move(processes);
}

void outcome::add_failure(const std::string& why) {
    if (failed++ == 0) first_failure = why;
}

void outcome::write_to(json& result) const {
    result["wrong"] = wrong;
    result["failed"] = failed;
    result["unfinished"] = unfinished;
    result["first_failure"] = first_failure;
}

int outcome::status() const {
    if (wrong != 0) return 3;
    return failed != 0 || unfinished != 0 ? 1 : 0;
}

json percentiles_ms(std::vector<float>& seconds) {
    json result;
    result["samples"] = seconds.size();
    if (seconds.empty()) return result;
    std::sort(seconds.begin(), seconds.end());
    const auto at = [&](double share) {
        const auto index = static_cast<std::size_t>(share * static_cast<double>(seconds.size()));
        return 1000.0 * static_cast<double>(seconds[std::min(index, seconds.size() - 1)]);
    };
    const double sum = std::accumulate(seconds.begin(), seconds.end(), 0.0);
    result["p50_ms"] = at(0.5);
    result["p90_ms"] = at(0.9);
    result["p95_ms"] = at(0.95);
    result["p99_ms"] = at(0.99);
    result["max_ms"] = at(1.0);
    result["mean_ms"] = 1000.0 * sum / static_cast<double>(seconds.size());
    return result;
}

} // namespace muxsocks::load
