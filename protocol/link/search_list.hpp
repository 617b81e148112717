#pragma once

/// \file
/// Which full names a short name stands for (resolv.conf(5), `search` and `ndots`). c-ares has this
/// too, but for each address family by itself: a name whose IPv4 address was found under one domain
/// could get the IPv6 address of another host under the next.

#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

struct search_list {
    std::vector<std::string> domains;
    /// A name with at least this many dots is tried as it is before the domains, any other after.
    unsigned dots_min = 1;

    /// The names to ask for, in order, each with its final dot off; those that would be too long
    /// are left out. A name that ends in a dot is complete and stands for itself alone.
    [[nodiscard]] std::vector<std::string> candidates(std::string_view name) const;
};

/// What the system's resolver is told by /etc/resolv.conf and the environment, read by the C
/// library. Reads the file; cannot fail: without a file it has the defaults.
struct system_dns {
    search_list search;
    /// How many name servers there are, at least 1.
    unsigned servers = 1;
};
[[nodiscard]] system_dns read_system_dns();

} // namespace muxsocks
