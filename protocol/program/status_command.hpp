#pragma once

/// \file
/// What a program that runs says of itself, in a terminal: `status`, `users`, `streams`, `kick`.
/// They ask its status listener, and show what it answers as text or, with --json, as it is.

#include "protocol/program/command_line.hpp"
#include "protocol/program/status_settings.hpp"

#include <functional>
#include <optional>

namespace muxsocks {

/// Runs argv[0] if it is one of the role's; its exit code, or nothing if it is not. `load` reads
/// the configuration that says where the program listens for status. Throws usage_error,
/// config_error, std::runtime_error with a sentence.
std::optional<int>
run_status_command(program_role role, int argc, const char* const* argv,
                   const std::function<status_settings(const command_line& line)>& load);

} // namespace muxsocks
