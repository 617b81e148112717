#pragma once

/// \file
/// What muxsocks-client does besides serving: `import` makes client.json from a share link,
/// `doctor` looks for what is wrong, `health` asks a client that runs whether all is well.

#include <optional>

namespace muxsocks::client {

/// Runs argv[1] if it is one of them; its exit code, or nothing if it is not. Throws usage_error,
/// config_error, std::runtime_error with a sentence.
std::optional<int> run_subcommand(int argc, const char* const* argv);

} // namespace muxsocks::client
