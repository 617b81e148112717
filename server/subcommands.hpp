#pragma once

/// \file
/// What muxsocks-server does besides serving: `init` makes a configuration that works, `user`
/// edits the users of one, `health` asks a server that runs whether all is well.

#include <optional>

namespace muxsocks::server {

/// Runs argv[1] if it is one of them; its exit code, or nothing if it is not. Throws usage_error,
/// config_error, std::runtime_error with a sentence.
std::optional<int> run_subcommand(int argc, const char* const* argv);

} // namespace muxsocks::server
