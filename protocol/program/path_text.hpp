#pragma once

/// \file
/// What TCP knows of a link's path, as words for people.

#include "protocol/link_facts.hpp"
#include "protocol/path_facts.hpp"

#include <string>

namespace muxsocks {

/// "round trip 50.1 ms (least 49.8), 3 of 1200 packets sent again, ...".
std::string path_text(const path_facts& path);

/// What the link does in its session: "small frames and bulk", or nothing.
std::string role_text(const link_roles* roles, link_number number);

} // namespace muxsocks
