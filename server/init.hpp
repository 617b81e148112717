#pragma once

/// \file
/// `muxsocks-server init`: from nothing to a server and the link for its clients.

namespace muxsocks::server {

/// argv[0] is "init". Returns the exit code, or throws as command_line.hpp says.
int initialise(int argc, const char* const* argv);

} // namespace muxsocks::server
