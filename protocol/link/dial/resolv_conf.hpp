#pragma once

/// \file
/// What /etc/resolv.conf (resolv.conf(5)) says of DNS servers and search domains. Read here and not
/// by the C library, whose functions for it differ from one to the next (musl has none).

#include "protocol/link/loop/asio.hpp"

#include <boost/asio/ip/address.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

struct resolv_conf {
    /// In the file's order; this machine's own (127.0.0.1) if the file names none.
    std::vector<asio::ip::address> servers;
    /// Of the last `search` or `domain` line. A host's own domain is not among them.
    std::vector<std::string> search;

    /// The names that a short name (one without a dot) stands for, in the order in which to ask for
    /// them, itself last. Any other name is complete and stands for itself alone, as does one that
    /// ends in a dot. Each is in lower case with its final dot off; those that are too long are
    /// left out.
    [[nodiscard]] std::vector<std::string> candidates(std::string_view name) const;
};

/// Reads the text of such a file; what it does not know it skips.
[[nodiscard]] resolv_conf parse_resolv_conf(const std::string& text);

/// Reads the file. Cannot fail: one that is not there is empty. The environment's LOCALDOMAIN
/// stands in place of its search domains.
[[nodiscard]] resolv_conf read_resolv_conf(const std::string& path);

} // namespace muxsocks
