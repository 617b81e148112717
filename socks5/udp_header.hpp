#pragma once

/// \file
/// The header in front of each datagram between an application and the proxy (RFC 1928 section 7).
/// Fragments are not supported: FRAG must be 0.

#include "socks5/address.hpp"

#include <optional>

namespace muxsocks::socks5 {

/// RSV 00 00 | FRAG | ATYP, DST.ADDR, DST.PORT.
struct udp_header {
    /// RSV and FRAG, in front of ATYP.
    static constexpr std::size_t front_size = 3;

    address dst{};
    /// Of the whole header; the datagram's own bytes, maybe none, follow it.
    std::size_t size = 0;
};

/// Nothing for what no datagram may begin with: RSV or FRAG not 0, an address that is cut off, of
/// an unknown type or without a name, or port 0.
[[nodiscard]] std::optional<udp_header> parse_udp_header(std::span<const std::uint8_t> bytes);

} // namespace muxsocks::socks5
