#pragma once

/// \file
/// SOCKS4 and 4A: one request, one answer of eight bytes, no login. It stands beside SOCKS5 for
/// what both have in common, the address. There is no RFC; the fields bear the names of the
/// documents "SOCKS: A protocol for TCP proxy across firewalls" and "SOCKS 4A".

#include "socks5/address.hpp"
#include "socks5/parse_result.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace muxsocks::socks4 {

enum class command : std::uint8_t { connect = 1, bind = 2 };

/// VN 04 | CD | DSTPORT 2 | DSTIP 4 | USERID ... 00 | in 4A, with DSTIP 0.0.0.x: name ... 00.
struct request {
    command cd = command::connect;
    socks5::address dst{};
};

/// CD of the answer.
enum class result : std::uint8_t {
    granted = 90,
    rejected = 91,
    /// For want of the user's proof, which this version cannot give.
    not_identified = 93,
};

/// USERID and the name have 255 bytes at most. Errors, all the sender's fault:
/// socks5::errc::not_socks5 (another VN), credential_length, empty_domain, invalid_domain,
/// command_not_supported (neither CONNECT nor BIND).
socks5::parse_result<request> parse_request(std::span<const std::uint8_t> bytes);

/// The answer with `bnd`, or 0.0.0.0 where that is no IPv4 address.
std::vector<std::uint8_t> encode(result cd, const socks5::address& bnd = {});

} // namespace muxsocks::socks4
