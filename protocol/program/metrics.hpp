#pragma once

/// \file
/// The metrics of a program in Prometheus's text format, all of them from the first moment on.
/// docs/STATUS.md lists them; labels have few values, whatever clients do: roles, reasons,
/// configured users and servers.

#include "protocol/program/command_line.hpp"
#include "protocol/program/snapshot.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace muxsocks {

/// What no worker knows.
struct process_facts {
    program_role role = program_role::client;
    std::chrono::system_clock::time_point started{};
    std::chrono::system_clock::time_point loaded{}; ///< The configuration in force.
    bool last_load_good = true;
    std::string certificate; ///< The file; empty: none.
    std::optional<std::chrono::system_clock::time_point> certificate_not_after;
    std::vector<std::string> listen; ///< As the configuration has them.
};

[[nodiscard]] std::string metrics_text(const process_facts& process, const snapshot& now);

} // namespace muxsocks
