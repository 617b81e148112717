#include "tests/tools/wan/ip.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace muxsocks::tools {
namespace {

using bytes_view = std::span<const std::uint8_t>;
using bytes_span = std::span<std::uint8_t>;

constexpr std::size_t v4_header_bytes = 20;
constexpr std::size_t v6_header_bytes = 40;
constexpr std::size_t icmp_header_bytes = 8;
constexpr std::uint8_t hops = 64;

unsigned version(bytes_view bytes) { return bytes.empty() ? 0U : bytes[0] >> 4U; }

std::uint16_t load16(bytes_view bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8U | bytes[at + 1]);
}

void store16(bytes_span bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8U);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

/// The one's complement sum of RFC 1071 over 16-bit words, not yet folded.
std::uint32_t sum_of(bytes_view bytes) {
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at + 1 < bytes.size(); at += 2)
        sum += load16(bytes, at);
    if (bytes.size() % 2 != 0) sum += static_cast<std::uint32_t>(bytes.back() << 8U);
    return sum;
}

std::uint16_t folded(std::uint32_t sum) {
    while (sum >> 16U)
        sum = (sum & 0xffffU) + (sum >> 16U);
    return static_cast<std::uint16_t>(sum);
}

/// Where the transport's checksum stands that covers the addresses; 0 if none does.
std::size_t covering_checksum(bytes_view bytes) {
    std::size_t transport = v6_header_bytes;
    std::uint8_t protocol = bytes[6];
    if (version(bytes) == 4) {
        const bool first_fragment = (load16(bytes, 6) & 0x1fffU) == 0;
        if (!first_fragment) return 0;
        transport = (bytes[0] & 0xfU) * 4U;
        protocol = bytes[9];
    }
    std::size_t at = 0;
    if (protocol == IPPROTO_TCP) at = transport + 16;
    if (protocol == IPPROTO_UDP) at = transport + 6;
    if (protocol == IPPROTO_ICMPV6) at = transport + 2;
    const bool there = at != 0 && at + 2 <= bytes.size();
    // A datagram over IPv4 may do without, and says so by zero.
    if (there && protocol == IPPROTO_UDP && load16(bytes, at) == 0) return 0;
    return there ? at : 0;
}

/// RFC 1624: what the checksum becomes when the words `old` become `fresh`.
void adjust_checksum(bytes_span bytes, std::size_t at, bytes_view old, bytes_view fresh) {
    std::uint32_t sum = static_cast<std::uint16_t>(~load16(bytes, at));
    for (std::size_t word = 0; word + 1 < old.size(); word += 2)
        sum += static_cast<std::uint16_t>(~load16(old, word));
    sum += sum_of(fresh);
    store16(bytes, at, static_cast<std::uint16_t>(~folded(sum)));
}

void make_v4_too_big(bytes_view refused, std::size_t mtu, packet& answer) {
    const std::size_t quoted = std::min<std::size_t>(refused.size(), (refused[0] & 0xfU) * 4U + 8U);
    answer.size = v4_header_bytes + icmp_header_bytes + quoted;
    const bytes_span bytes = answer.bytes();
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    bytes[0] = 0x45;
    store16(bytes, 2, answer.size);
    bytes[8] = hops;
    bytes[9] = IPPROTO_ICMP;
    std::copy_n(refused.begin() + 16, 4, bytes.begin() + 12);
    std::copy_n(refused.begin() + 12, 4, bytes.begin() + 16);
    store16(bytes, 10, static_cast<std::uint16_t>(~folded(sum_of(bytes.first(v4_header_bytes)))));
    const bytes_span icmp = bytes.subspan(v4_header_bytes);
    icmp[0] = 3; // destination unreachable
    icmp[1] = 4; // fragmentation needed and DF set
    store16(icmp, 6, mtu);
    std::copy_n(refused.begin(), quoted, icmp.begin() + icmp_header_bytes);
    store16(icmp, 2, static_cast<std::uint16_t>(~folded(sum_of(icmp))));
}

void make_v6_too_big(bytes_view refused, std::size_t mtu, packet& answer) {
    constexpr std::size_t least_mtu = 1280;
    const std::size_t quoted =
        std::min<std::size_t>(refused.size(), least_mtu - v6_header_bytes - icmp_header_bytes);
    answer.size = v6_header_bytes + icmp_header_bytes + quoted;
    const bytes_span bytes = answer.bytes();
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
    bytes[0] = 0x60;
    store16(bytes, 4, icmp_header_bytes + quoted);
    bytes[6] = IPPROTO_ICMPV6;
    bytes[7] = hops;
    std::copy_n(refused.begin() + 24, 16, bytes.begin() + 8);
    std::copy_n(refused.begin() + 8, 16, bytes.begin() + 24);
    const bytes_span icmp = bytes.subspan(v6_header_bytes);
    icmp[0] = 2; // packet too big
    store16(icmp, 6, mtu);
    std::copy_n(refused.begin(), quoted, icmp.begin() + icmp_header_bytes);
    const auto pseudo_header =
        sum_of(bytes.subspan(8, 32)) + static_cast<std::uint32_t>(icmp.size()) + IPPROTO_ICMPV6;
    store16(icmp, 2, static_cast<std::uint16_t>(~folded(sum_of(icmp) + pseudo_header)));
}

} // namespace

ip_address parse_ip_address(std::string_view text) {
    const std::string copy(text);
    ip_address four(4);
    if (inet_pton(AF_INET, copy.c_str(), four.data()) == 1) return four;
    ip_address sixteen(16);
    if (inet_pton(AF_INET6, copy.c_str(), sixteen.data()) == 1) return sixteen;
    throw std::invalid_argument("'" + copy + "' is not an IP address");
}

bytes_view address_of(bytes_view bytes, address_field which) {
    const bool source = which == address_field::source;
    if (version(bytes) == 4 && bytes.size() >= v4_header_bytes)
        return bytes.subspan(source ? 12 : 16, 4);
    if (version(bytes) == 6 && bytes.size() >= v6_header_bytes)
        return bytes.subspan(source ? 8 : 24, 16);
    return {};
}

void replace_address(bytes_span bytes, address_field which, const ip_address& address) {
    const bytes_view field = address_of(bytes, which);
    if (field.empty() || field.size() != address.size()) return;
    if (version(bytes) == 4) adjust_checksum(bytes, 10, field, address);
    if (const std::size_t at = covering_checksum(bytes)) adjust_checksum(bytes, at, field, address);
    std::copy(address.begin(), address.end(), bytes.begin() + (field.data() - bytes.data()));
}

bool make_too_big(bytes_view refused, std::size_t mtu, packet& answer) {
    if (address_of(refused, address_field::source).empty()) return false;
    if (version(refused) == 4)
        make_v4_too_big(refused, mtu, answer);
    else
        make_v6_too_big(refused, mtu, answer);
    return true;
}

} // namespace muxsocks::tools
