#pragma once

/// \file
/// `muxsocks-client doctor`: goes the way of a request step by step (name, TCP, TLS,
/// authentication, request), says how long each took, which one fails, and what to do about it.

#include "client/config.hpp"

#include <string>

namespace muxsocks::client {

/// Examines every server of the configuration; prints to standard output. `target` is what the last
/// step asks for, "host:port"; by default a name that cannot exist, whose refusal proves the way.
/// Returns the exit code: 0 if all steps of at least one server went well.
int examine(const config& settings, const std::string& target);

} // namespace muxsocks::client
