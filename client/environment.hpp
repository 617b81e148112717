#pragma once

/// \file
/// `muxsocks-client env`: the variables by which a shell's programs find the proxy.

#include "client/config.hpp"

#include <string>

namespace muxsocks::client {

/// Lines for a POSIX shell to evaluate. Throws std::runtime_error with a sentence where the client
/// has no address that such a variable could name.
std::string environment_of(const config& settings);

} // namespace muxsocks::client
