#include "protocol/link/dial/host_name.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <arpa/inet.h>

namespace muxsocks {

namespace {

// Not from <cctype>: these must not depend on the locale.
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_label(std::string_view label) {
    return !label.empty() && label.size() <= 63 &&
           std::all_of(label.begin(), label.end(),
                       [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; });
}

/// As a part of an IPv4 address in inet_aton's sense: decimal, octal or hexadecimal, "0x" included.
bool is_number(std::string_view label) {
    if (label.size() >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X')) {
        return std::all_of(label.begin() + 2, label.end(), is_hex);
    }
    return std::all_of(label.begin(), label.end(), is_digit);
}

std::string_view without_final_dot(std::string_view host) {
    if (host.size() > 1 && host.back() == '.') host.remove_suffix(1);
    return host;
}

/// Whether the last label of `host` is `label`, which is in lower case.
bool is_under(std::string_view host, std::string_view label) {
    const std::string name = canonical_host_name(host);
    return name.substr(name.rfind('.') + 1) == label;
}

std::optional<asio::ip::address> parse_v4(const std::string& host) {
    // inet_aton() takes anything that follows a space, getaddrinfo() does not.
    const bool clean = std::all_of(host.begin(), host.end(), [](char c) {
        return is_hex(c) || c == 'x' || c == 'X' || c == '.';
    });
    in_addr parsed{};
    if (!clean || inet_aton(host.c_str(), &parsed) == 0) return std::nullopt;
    return asio::ip::address_v4(ntohl(parsed.s_addr));
}

std::optional<asio::ip::address> parse_v6(std::string_view host) {
    if (host.find('%') != std::string_view::npos) return std::nullopt;
    const auto address = parse_address(host);
    if (!address) return std::nullopt;
    return unmapped(*address);
}

} // namespace

std::optional<asio::ip::address> parse_address(std::string_view text) {
    if (text.find('\0') != std::string_view::npos || text.ends_with('%')) return std::nullopt;
    boost::system::error_code not_an_address;
    const auto address = asio::ip::make_address(text, not_an_address);
    if (not_an_address) return std::nullopt;
    return address;
}

std::optional<asio::ip::address> parse_numeric_host(std::string_view host) {
    // The longest spelling of an address has 45 bytes; inet_aton's zeros may go on for ever.
    if (host.empty() || host.size() > host_name_bytes_max) return std::nullopt;
    if (host.find('\0') != std::string_view::npos) return std::nullopt;
    return host.find(':') == std::string_view::npos ? parse_v4(std::string(host)) : parse_v6(host);
}

bool is_host_name(std::string_view host) noexcept {
    host = without_final_dot(host);
    if (host.empty() || host.size() > host_name_bytes_max) return false;
    for (;;) {
        const std::size_t dot = host.find('.');
        const std::string_view label = host.substr(0, dot);
        if (!is_label(label)) return false;
        if (dot == std::string_view::npos) return !is_number(label);
        host.remove_prefix(dot + 1);
    }
}

std::string canonical_host_name(std::string_view host) {
    std::string name(without_final_dot(host));
    std::transform(name.begin(), name.end(), name.begin(), to_lower);
    return name;
}

bool is_localhost_name(std::string_view host) { return is_under(host, "localhost"); }

bool is_never_in_dns(std::string_view host) {
    return is_under(host, "invalid") || is_under(host, "onion");
}

std::string reverse_name(const asio::ip::address& address) {
    const auto plain = unmapped(address);
    std::string name;
    if (plain.is_v4()) {
        const auto bytes = plain.to_v4().to_bytes();
        for (auto each = bytes.rbegin(); each != bytes.rend(); ++each)
            name += std::to_string(*each) + '.';
        return name + "in-addr.arpa";
    }
    constexpr std::string_view digits = "0123456789abcdef";
    const auto bytes = plain.to_v6().to_bytes();
    for (auto each = bytes.rbegin(); each != bytes.rend(); ++each) {
        name += {digits[*each & 15U], '.', digits[*each >> 4U], '.'};
    }
    return name + "ip6.arpa";
}

asio::ip::address unmapped(const asio::ip::address& address) {
    if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}

} // namespace muxsocks
