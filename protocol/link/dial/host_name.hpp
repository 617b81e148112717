#pragma once

/// \file
/// What the text of a host may be: an address in one of its spellings, or a name that may be looked
/// up. Nothing else leaves here, so that what is checked against rules for destinations is what is
/// dialled: every spelling that getaddrinfo() reads as an address becomes that address here, and
/// what only looks like one is refused instead of being sent to a DNS server.

#include "protocol/link/loop/asio.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace muxsocks {

/// The longest name, its final dot not counted (RFC 1035 section 2.3.4), in bytes.
constexpr std::size_t host_name_bytes_max = 253;

/// The address that `text` is in the form in which addresses are written: "192.0.2.1",
/// "2001:db8::1", "fe80::1%eth0". Nothing if it is none. IPv4-mapped ones stay IPv6.
[[nodiscard]] std::optional<asio::ip::address> parse_address(std::string_view text);

/// The address that `host` spells, if it spells one: IPv6 without zone and brackets, or IPv4 in
/// every form that inet_aton() takes ("192.0.2.1", "127.1", "2130706433", "0x7f000001",
/// "0177.0.0.1"). An IPv4-mapped IPv6 address comes back as the IPv4 address, which is what a
/// socket would dial.
[[nodiscard]] std::optional<asio::ip::address> parse_numeric_host(std::string_view host);

/// Whether `host` may be given to DNS: letters, digits, '-' and '_' in labels of 1 to 63 bytes, at
/// most host_name_bytes_max in all, with or without a final dot; and its last label is no number,
/// which no top-level domain is and every mistyped address has ("1.2.3.4.5", "256.1.1.1").
[[nodiscard]] bool is_host_name(std::string_view host) noexcept;

/// `host` in lower case and without its final dot: equal for all spellings of one name.
[[nodiscard]] std::string canonical_host_name(std::string_view host);

/// Whether the name is "localhost" or ends in ".localhost", in any case (RFC 6761 section 6.3).
[[nodiscard]] bool is_localhost_name(std::string_view host);

/// Whether DNS never has the name, and is not to be asked: it ends in ".invalid" (RFC 6761 section
/// 6.4) or ".onion" (RFC 7686), in any case.
[[nodiscard]] bool is_never_in_dns(std::string_view host);

/// The name under which DNS has the name of an address: "1.2.0.192.in-addr.arpa" (RFC 1035 section
/// 3.5), or one below ip6.arpa (RFC 3596 section 2.5). IPv4-mapped ones are IPv4.
[[nodiscard]] std::string reverse_name(const asio::ip::address& address);

/// An IPv4-mapped IPv6 address as IPv4; any other address as it is.
[[nodiscard]] asio::ip::address unmapped(const asio::ip::address& address);

} // namespace muxsocks
