#pragma once

/// \file
/// What routers do to packets: tell a sender that a packet is too big (RFC 792 and 1191, RFC 4443),
/// and put one address in the place of another as a NAT does, checksums included. IPv4 and IPv6;
/// bytes in, bytes out.

#include "tests/tools/wan/packet.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::tools {

/// Four bytes or sixteen, as they stand in a packet.
using ip_address = std::vector<std::uint8_t>;

/// Throws std::invalid_argument for what is no address.
ip_address parse_ip_address(std::string_view text);

enum class address_field { source, destination };

/// The field's bytes; empty if it is no IP packet or too short to have it.
std::span<const std::uint8_t> address_of(std::span<const std::uint8_t> bytes, address_field which);

/// Puts `address` into the field and keeps the checksums of IP, TCP, UDP and ICMPv6 right. Does
/// nothing if the packet is of the other family.
void replace_address(std::span<std::uint8_t> bytes, address_field which, const ip_address& address);

/// Makes `answer` the message to the packet's sender that only `mtu` bytes pass; it comes from the
/// packet's destination, which no filter of a test takes for forged. False if there is nobody to
/// tell: it is no IP packet.
bool make_too_big(std::span<const std::uint8_t> refused, std::size_t mtu, packet& answer);

} // namespace muxsocks::tools
