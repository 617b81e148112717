#pragma once

/// \file
/// `muxsocks-client health`: asks the client that runs with the same configuration, through its own
/// SOCKS port, for a name that does not exist. That answer can only come from the server, so it
/// proves the client, the link and the server at once, and touches no target.

#include "client/config.hpp"

namespace muxsocks::client {

/// Prints one line. Returns the exit code: 0 if the server answered, 1 if it did not within 3 s.
int check_health(const config& settings);

} // namespace muxsocks::client
