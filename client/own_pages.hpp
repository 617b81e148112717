#pragma once

/// \file
/// What the port says in HTTP of itself: a page for people who open its address, and the proxy
/// auto-config file that browsers read. No page of the web can make use of it: the request must
/// name the port by an address or a name of its own, must not come from within another site, and
/// what is answered is of no use as a script or in a frame.

#include "client/front.hpp"
#include "http/head.hpp"

#include <string>

namespace muxsocks::client {

/// The whole answer to a request whose target is a path.
std::string own_page(const http::request_head& request, const page_facts& facts,
                     std::uint8_t accept);

} // namespace muxsocks::client
