#include "protocol/program/network.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>

namespace muxsocks {

namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(std::span<const std::uint8_t> ip) {
    return std::equal(mapped_prefix.begin(), mapped_prefix.end(), ip.begin());
}

void clear_bits_from(std::array<std::uint8_t, 16>& address, std::size_t prefix) {
    for (std::size_t i = 0; i < address.size(); ++i) {
        const std::size_t kept = prefix <= i * 8 ? 0 : std::min<std::size_t>(prefix - i * 8, 8);
        address[i] = static_cast<std::uint8_t>(address[i] & (0xff00U >> kept));
    }
}

/// The address alone, as a network of one, IPv4-mapped ones not yet as IPv4.
std::optional<network> parse_lone_address(std::string_view text) {
    const auto address = parse_address(text);
    if (!address || text.find('%') != std::string_view::npos) return std::nullopt;
    network result;
    result.is_v4 = address->is_v4();
    if (result.is_v4) {
        const auto bytes = address->to_v4().to_bytes();
        std::copy(bytes.begin(), bytes.end(), result.address.begin());
        result.prefix = 32;
    } else {
        result.address = address->to_v6().to_bytes();
        result.prefix = 128;
    }
    return result;
}

std::optional<std::uint8_t> parse_prefix(std::string_view text, std::uint8_t max) {
    std::uint8_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool leading_zero = text.size() > 1 && text.front() == '0';
    if (error != std::errc() || end != text.data() + text.size() || leading_zero || value > max) {
        return std::nullopt;
    }
    return value;
}

/// An IPv4-mapped block becomes the IPv4 block inside it. Blocks wider than that stay IPv6.
network unmapped(const network& value) {
    if (value.is_v4 || value.prefix < 96 || !is_mapped(value.address)) return value;
    network result;
    result.is_v4 = true;
    result.prefix = static_cast<std::uint8_t>(value.prefix - 96);
    std::copy_n(value.address.begin() + 12, 4, result.address.begin());
    return result;
}

bool same_bits(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b, std::size_t bits) {
    const std::size_t whole = bits / 8;
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) {
        return false;
    }
    const std::size_t rest = bits % 8;
    return rest == 0 || ((a[whole] ^ b[whole]) & (0xff00U >> rest) & 0xffU) == 0;
}

/// As written: bits beyond the prefix are still there.
std::optional<network> parse_as_written(std::string_view text) {
    const std::size_t slash = text.find('/');
    std::optional<network> result = parse_lone_address(text.substr(0, slash));
    if (!result || slash == std::string_view::npos) return result;
    const auto prefix = parse_prefix(text.substr(slash + 1), result->prefix);
    if (!prefix) return std::nullopt;
    result->prefix = *prefix;
    return result;
}

} // namespace

bool network::contains(std::span<const std::uint8_t> ip) const noexcept {
    if (ip.size() == 16 && is_mapped(ip)) ip = ip.subspan(12);
    if (ip.size() != (is_v4 ? 4U : 16U)) return false;
    return same_bits(address, ip, prefix);
}

std::optional<network> parse_network_loosely(std::string_view text) {
    std::optional<network> result = parse_as_written(text);
    if (!result) return std::nullopt;
    clear_bits_from(result->address, result->prefix);
    return unmapped(*result);
}

std::optional<network> parse_network(std::string_view text) {
    const std::optional<network> written = parse_as_written(text);
    if (!written) return std::nullopt;
    network cleared = *written;
    clear_bits_from(cleared.address, cleared.prefix);
    if (cleared != *written) return std::nullopt;
    return unmapped(cleared);
}

std::string to_string(const network& value) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(value.is_v4 ? AF_INET : AF_INET6, value.address.data(), text.data(), text.size());
    const std::string address(text.data());
    const int longest = value.is_v4 ? 32 : 128;
    if (value.prefix == longest) return address;
    return address + "/" + std::to_string(value.prefix);
}

bool contains(const std::vector<network>& networks, std::span<const std::uint8_t> ip) noexcept {
    return std::any_of(networks.begin(), networks.end(),
                       [&](const network& one) { return one.contains(ip); });
}

} // namespace muxsocks
