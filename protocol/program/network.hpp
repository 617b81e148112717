#pragma once

/// \file
/// A network: an IPv4 or IPv6 address with a prefix length, as lists of them stand in the
/// configuration ("10.0.0.0/8", "2001:db8::/32"; a lone address is a network of one).
///
/// An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is the same host as the IPv4 address inside it,
/// so it is treated as that one, in networks as in the addresses that are looked up: a dual-stack
/// socket's way of naming its peer changes no answer. Other disguises of IPv4 (NAT64, 6to4) are
/// left to server/target_policy.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

/// A block of addresses. Always in canonical form: no address bit is set beyond the prefix.
struct network {
    /// In network order. IPv4 uses the first four bytes, the rest are zero.
    std::array<std::uint8_t, 16> address{};
    /// In bits: 0 to 32 for IPv4, 0 to 128 for IPv6.
    std::uint8_t prefix = 0;
    bool is_v4 = false;

    /// Whether the address `ip` lies in this block; `ip` has 4 or 16 bytes in network order, any
    /// other length is in no network. 16 bytes that are an IPv4-mapped address count as IPv4.
    [[nodiscard]] bool contains(std::span<const std::uint8_t> ip) const noexcept;

    bool operator==(const network&) const = default;
};

/// Reads "10.0.0.0/8", "2001:db8::/32", "192.0.2.7" or "::1". Nothing if the text is no network; if
/// bits are set beyond the prefix ("10.0.0.1/8", of which nobody can tell whether the host or the
/// network was meant), also nothing. No names, no zones, no short forms such as "10/8".
[[nodiscard]] std::optional<network> parse_network(std::string_view text);

/// Clears the bits beyond the prefix, so that parse_network("10.0.0.1/8") can say what was meant.
/// Takes the same texts as parse_network, host bits allowed.
[[nodiscard]] std::optional<network> parse_network_loosely(std::string_view text);

/// "10.0.0.0/8"; a network of one without its prefix: "192.0.2.7".
[[nodiscard]] std::string to_string(const network& value);

/// Whether any of `networks` contains `ip`.
[[nodiscard]] bool contains(const std::vector<network>& networks,
                            std::span<const std::uint8_t> ip) noexcept;

} // namespace muxsocks
