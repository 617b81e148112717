#pragma once

/// \file
/// The server as a whole: configuration, workers, signals, orderly stop.

#include "protocol/program/command_line.hpp"

#include <cstdint>

namespace muxsocks::server {

/// Reads the configuration and everything it names. Throws config_error with a sentence; warnings
/// go to standard error.
void check(const command_line& line);

/// Runs until SIGTERM or SIGINT. Throws at start-up only. `file_limit`: how
/// many files this process may open, as prepare_process() has found.
void run(const command_line& line, std::uint64_t file_limit);

} // namespace muxsocks::server
