#pragma once

/// \file
/// The bytes of SOCKS5 (RFC 1928, sections 3 to 7) that the load generator needs.

#include "benchmarks/load/socket.hpp"

#include <cstdint>
#include <vector>

namespace muxsocks::load {

inline constexpr std::uint8_t socks_version = 5;
inline constexpr std::uint8_t atyp_ipv4 = 1;
inline constexpr std::uint8_t atyp_ipv6 = 4;

/// ATYP, address and port together.
constexpr std::size_t socks_address_bytes(std::uint8_t atyp) {
    return 1 + (atyp == atyp_ipv6 ? 16 : 4) + 2;
}

void append_socks_address(std::vector<std::uint8_t>& to, const endpoint& of);

} // namespace muxsocks::load
