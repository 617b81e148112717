#pragma once

/// \file
/// `muxsocks-server user`: the users of server.json come and go.

namespace muxsocks::server {

/// argv[0] is "user". Returns the exit code, or throws as command_line.hpp says.
int edit_users(int argc, const char* const* argv);

} // namespace muxsocks::server
