#pragma once

/// \file
/// `muxsocks-server health`: goes through TLS and HELLO with the port of the server that runs with
/// the same configuration, and says goodbye before it would have to authenticate.

#include "server/config.hpp"

namespace muxsocks::server {

/// Prints one line. Returns the exit code: 0 if the server answered with its key and HELLO, 1 if it
/// did not within 3 s.
int check_health(const config& settings);

} // namespace muxsocks::server
