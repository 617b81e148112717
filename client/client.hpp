#pragma once

/// \file
/// The client as a whole: configuration, workers, signals, orderly stop.

#include "protocol/program/command_line.hpp"

#include <cstdint>

namespace muxsocks::client {

/// Reads the configuration and everything it names. Throws config_error with a sentence; warnings
/// go to standard error.
void check(const command_line& line);

/// Runs until SIGTERM or SIGINT. Throws at start-up only. `file_limit`: how
/// many files this process may open.
void run(const command_line& given, std::uint64_t file_limit);

} // namespace muxsocks::client
