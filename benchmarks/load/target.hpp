#pragma once

/// \file
/// The far end of every measured connection: echoes, sends and receives content, and tells what it
/// has counted. What a connection is for its first bytes say (transfer.hpp), so one port serves
/// everything, also behind a relay that knows only one.
///
/// Two threads: bulk transfers are handed to the second one, so that an echo waits for the kernel's
/// scheduler at most, never for a piece of bulk data being hashed.

#include "benchmarks/load/socket.hpp"

#include <vector>

namespace muxsocks::load {

/// Listens on all of `locals` and serves until SIGTERM or SIGINT. Before serving prints one JSON
/// line with the addresses, so that port 0 may be given. Throws if it cannot listen.
void run_target(const std::vector<endpoint>& locals, const socket_settings& settings);

} // namespace muxsocks::load
