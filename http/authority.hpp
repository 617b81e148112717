#pragma once

/// \file
/// "host:port" as requests have it (RFC 9112, section 3.2): in CONNECT's target, in an
/// absolute-form target, and in Host.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muxsocks::http {

struct authority {
    /// A name or an address; an IPv6 address without its brackets.
    std::string_view host;
    std::uint16_t port = 0;
    bool bracketed = false; ///< It is an IPv6 address, or nothing.

    /// Host as it stands in the field: without the port where it is `usual`.
    std::string text(std::uint16_t usual) const;
};

/// Nothing if it is none: user names, empty hosts, names of more than 255 bytes or with other bytes
/// than such have, ports that are 0 or no number. Without a port it has `usual`; 0: it must have
/// one.
std::optional<authority> parse_authority(std::string_view text, std::uint16_t usual);

/// An absolute-form target: "http://example.org:8080/path?query".
struct absolute_target {
    std::string_view scheme;
    std::string_view authority;
    /// The rest: path and query, maybe empty.
    std::string_view rest;
};
std::optional<absolute_target> parse_absolute(std::string_view target);

} // namespace muxsocks::http
