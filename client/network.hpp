#pragma once

/// \file
/// What a link's packets depend on in this machine, as text to compare: the same text means the
/// same network. Any thread; a call reads /proc and asks the kernel, without waiting for anybody.

#include "protocol/link/loop/asio.hpp"

#include <boost/asio/ip/address.hpp>

#include <string>

namespace muxsocks::client {

/// Addresses of interfaces that are up, and default routes. Addresses that do not leave their
/// network (loopback, IPv6 link-local, which each container's interface has) are left out.
std::string describe_network();

/// The route on which the kernel would send to `to` now: interface, gateway and source address;
/// empty if there is none (rtnetlink(7), RTM_GETROUTE).
std::string describe_route(const asio::ip::address& to);

} // namespace muxsocks::client
