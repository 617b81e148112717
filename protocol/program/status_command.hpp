#pragma once

/// \file
/// What a program that runs says of itself, in a terminal: `status`, `users`, `streams`, `kick`.
/// They ask its status listener, and show what it answers as text or, with --json, as it is.

#include "protocol/program/command_line.hpp"
#include "protocol/program/status_settings.hpp"

#include <functional>
#include <optional>
#include <vector>

namespace muxsocks {

/// A program that runs, as its configuration has it.
struct program_to_ask {
    status_settings status;
    std::vector<listen_address> listen;
};

/// Runs argv[0] if it is one of the role's; its exit code, or nothing if it is not. `load` reads
/// the configuration. Throws usage_error, config_error, std::runtime_error with a sentence, also
/// where another program answers than that of a configuration that is named.
std::optional<int>
run_status_command(program_role role, int argc, const char* const* argv,
                   const std::function<program_to_ask(const command_line& line)>& load);

} // namespace muxsocks
