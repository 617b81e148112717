#pragma once

/// \file
/// ATYP with its address and port: the part that requests, replies and UDP headers share (RFC 1928
/// section 5). It keeps true that a parsed name has 1 to 255 bytes and no control characters;
/// whether a name resolves, or is an address in disguise, is for others to find out.

#include "socks5/parse_result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace muxsocks::socks5 {

/// An address as it goes over the wire; by default 0.0.0.0:0, which stands in replies for "none".
struct address {
    /// The values are those of ATYP.
    enum class kind : std::uint8_t { ipv4 = 0x01, domain = 0x03, ipv6 = 0x04 };

    kind type = kind::ipv4;
    /// In network order; of an IPv4 address the first 4 bytes.
    std::array<std::uint8_t, 16> ip{};
    /// Only for kind::domain, as the application wrote it (no lower-casing, no IDNA).
    std::string domain{};
    /// In host order.
    std::uint16_t port = 0;

    static address from_ipv4(const std::array<std::uint8_t, 4>& bytes, std::uint16_t port);
    static address from_ipv6(const std::array<std::uint8_t, 16>& bytes, std::uint16_t port);
    /// `name` must satisfy check_domain.
    static address from_domain(std::string name, std::uint16_t port);

    /// Equal in what goes over the wire; names byte by byte.
    friend bool operator==(const address& a, const address& b);
};

/// The longest encoded address: ATYP, length, 255 bytes of name, port.
inline constexpr std::size_t address_bytes_max = 1 + 1 + 255 + 2;

/// Whether a name can stand in an address: 1 to 255 bytes, no NUL, no control characters.
/// errc::empty_domain or errc::invalid_domain if not.
std::error_code check_domain(std::string_view name);

/// Parses ATYP, address and port. Errors, all the sender's fault: errc::address_type_not_supported,
/// errc::empty_domain, errc::invalid_domain.
parse_result<address> parse_address(std::span<const std::uint8_t> bytes);

/// Writes ATYP, address and port behind what `out` holds.
void append(std::vector<std::uint8_t>& out, const address& value);

/// "192.0.2.1:80", "[2001:db8::1]:80" (RFC 5952), "example.org:80". Fit for logs: every byte of a
/// name that is not printable ASCII appears as \xNN, and a name with a colon in it stands in
/// brackets.
std::string to_string(const address& value);

} // namespace muxsocks::socks5
