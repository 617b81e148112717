#pragma once

/// \file
/// What every work reports in the same words: time, processor time and memory around it, and how
/// its streams ended.

#include "benchmarks/load/options.hpp"
#include "benchmarks/load/process_usage.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace muxsocks::load {

using clock = std::chrono::steady_clock;
using json = nlohmann::ordered_json;

double seconds_between(clock::time_point from, clock::time_point to);

/// Processor time and memory of the measured processes from begin() to end().
class usage_meter {
  public:
    explicit usage_meter(const options& what) : options_(what) {}

    void begin();
    void end();

    double elapsed_seconds() const { return seconds_between(begin_time_, end_time_); }
    double cpu_seconds() const;

    /// cpu_seconds, and in "processes" the share of each; the load generator's own time; and
    /// foreign_cpu_seconds, what the rest of the machine used meanwhile: much of it spoils a
    /// measurement.
    void write_to(json& result) const;

  private:
    struct reading {
        std::vector<process_usage> measured;
        std::vector<process_usage> helpers;
        double own_seconds = 0;
        double machine_seconds = 0;
    };
    reading read() const;

    const options& options_;
    clock::time_point begin_time_;
    clock::time_point end_time_;
    reading before_;
    reading after_;
};

/// How the streams of a work ended.
struct outcome {
    std::uint64_t wrong = 0;      ///< bytes differed, at either end
    std::uint64_t failed = 0;     ///< did not open, or ended too early
    std::uint64_t unfinished = 0; ///< still under way when the time limit came
    std::string first_failure;

    void add_failure(const std::string& why);
    void write_to(json& result) const;
    /// The exit status that main's help promises.
    int status() const;
};

/// p50, p90, p95, p99, max and mean of durations in seconds, written as milliseconds. Reorders
/// them.
json percentiles_ms(std::vector<float>& seconds);

} // namespace muxsocks::load
