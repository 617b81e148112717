#pragma once

/// \file
/// Says in the log that names cannot be looked up: applications see no more than a target that
/// cannot be reached, and would look for the fault everywhere else.

#include "server/config.hpp"

#include <atomic>
#include <chrono>
#include <string>
#include <system_error>

namespace muxsocks::server {

/// One for the process; any thread may tell it of the end of a lookup.
class dns_watch {
  public:
    using clock = std::chrono::steady_clock;

    explicit dns_watch(const dns_settings& settings);

    /// `error` as resolver_options::on_dns_result has it. Warns at most once a minute, and not
    /// while other names are answered: then it is the one name that is broken.
    void on_result(std::error_code error, clock::time_point now = clock::now());

    /// For tests.
    [[nodiscard]] unsigned warnings() const noexcept { return warnings_; }

  private:
    std::string servers_;
    std::atomic<clock::rep> answered_;
    std::atomic<clock::rep> warned_;
    std::atomic<unsigned> warnings_{0};
};

} // namespace muxsocks::server
