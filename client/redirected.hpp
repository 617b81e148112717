#pragma once

/// \file
/// Connections that the kernel has brought to the client, and where they were meant to go: by NAT
/// (REDIRECT), which keeps that for who asks, or as they were (TPROXY), where it is the socket's
/// own address.

#include "protocol/program/settings.hpp"
#include "socks5/address.hpp"

#include <optional>

namespace muxsocks::client {

/// Nothing for a connection that was made to the listener itself.
std::optional<socks5::address> redirected_target(int descriptor, const listen_address& from);

} // namespace muxsocks::client
