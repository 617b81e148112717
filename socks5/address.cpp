#include "socks5/address.hpp"

#include "socks5/error.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <utility>

namespace muxsocks::socks5 {

address address::from_ipv4(const std::array<std::uint8_t, 4>& bytes, std::uint16_t port) {
    address result;
    result.type = kind::ipv4;
    std::copy(bytes.begin(), bytes.end(), result.ip.begin());
    result.port = port;
    return result;
}

address address::from_ipv6(const std::array<std::uint8_t, 16>& bytes, std::uint16_t port) {
    address result;
    result.type = kind::ipv6;
    result.ip = bytes;
    result.port = port;
    return result;
}

address address::from_domain(std::string name, std::uint16_t port) {
    assert(!check_domain(name));
    address result;
    result.type = kind::domain;
    result.domain = std::move(name);
    result.port = port;
    return result;
}

bool operator==(const address& a, const address& b) {
    if (a.type != b.type || a.port != b.port) return false;
    if (a.type == address::kind::domain) return a.domain == b.domain;
    const auto bytes = a.type == address::kind::ipv4 ? 4 : 16;
    return std::equal(a.ip.begin(), a.ip.begin() + bytes, b.ip.begin());
}

std::error_code check_domain(std::string_view name) {
    if (name.empty()) return errc::empty_domain;
    const auto is_control = [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    };
    if (name.size() > 255 || std::any_of(name.begin(), name.end(), is_control))
        return errc::invalid_domain;
    return {};
}

namespace {

std::uint16_t load_port(std::span<const std::uint8_t> bytes) {
    return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

/// Copies an address of `size` bytes and the port from behind ATYP.
void parse_ip(std::span<const std::uint8_t> bytes, std::size_t size,
              parse_result<address>& result) {
    if (bytes.size() < 1 + size + 2) return;
    std::copy_n(bytes.begin() + 1, size, result.value.ip.begin());
    result.value.port = load_port(bytes.subspan(1 + size));
    result.status = parse_status::done;
    result.used = 1 + size + 2;
}

void fail(parse_result<address>& result, std::error_code error) {
    result.status = parse_status::failed;
    result.error = error;
}

void parse_domain(std::span<const std::uint8_t> bytes, parse_result<address>& result) {
    if (bytes.size() < 2) return;
    const std::size_t length = bytes[1];
    const std::size_t present = std::min(length, bytes.size() - 2);
    // Seen before the name is complete, so that a wrong one is not waited for.
    const std::string_view name{reinterpret_cast<const char*>(bytes.data()) + 2, present};
    if (present > 0 || length == 0) {
        if (const auto error = check_domain(name)) return fail(result, error);
    }
    if (bytes.size() < 2 + length + 2) return;
    result.value.domain = name;
    result.value.port = load_port(bytes.subspan(2 + length));
    result.status = parse_status::done;
    result.used = 2 + length + 2;
}

} // namespace

parse_result<address> parse_address(std::span<const std::uint8_t> bytes) {
    parse_result<address> result;
    if (bytes.empty()) return result;
    switch (bytes[0]) {
    case 0x01:
        result.value.type = address::kind::ipv4;
        parse_ip(bytes, 4, result);
        break;
    case 0x03:
        result.value.type = address::kind::domain;
        parse_domain(bytes, result);
        break;
    case 0x04:
        result.value.type = address::kind::ipv6;
        parse_ip(bytes, 16, result);
        break;
    default:
        fail(result, errc::address_type_not_supported);
    }
    return result;
}

void append(std::vector<std::uint8_t>& out, const address& value) {
    out.push_back(static_cast<std::uint8_t>(value.type));
    if (value.type == address::kind::domain) {
        assert(!check_domain(value.domain));
        // Were the assertion ever wrong, the message would still be well-formed.
        const std::size_t length = std::min<std::size_t>(value.domain.size(), 255);
        out.push_back(static_cast<std::uint8_t>(length));
        out.insert(out.end(), value.domain.begin(),
                   value.domain.begin() + static_cast<std::ptrdiff_t>(length));
    } else {
        const auto bytes = value.type == address::kind::ipv4 ? 4 : 16;
        out.insert(out.end(), value.ip.begin(), value.ip.begin() + bytes);
    }
    out.push_back(static_cast<std::uint8_t>(value.port >> 8));
    out.push_back(static_cast<std::uint8_t>(value.port));
}

namespace {

void append_number(std::string& text, unsigned number, int base = 10) {
    char digits[8];
    const auto end = std::to_chars(digits, digits + sizeof digits, number, base).ptr;
    text.append(digits, end);
}

void append_ipv4(std::string& text, const std::uint8_t* bytes) {
    for (int i = 0; i < 4; ++i) {
        if (i > 0) text += '.';
        append_number(text, bytes[i]);
    }
}

/// RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as
/// "::", IPv4-mapped addresses with their dots.
void append_ipv6(std::string& text, const std::array<std::uint8_t, 16>& ip) {
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::equal(mapped.begin(), mapped.end(), ip.begin())) {
        text += "::ffff:";
        return append_ipv4(text, ip.data() + 12);
    }
    const auto group = [&ip](std::size_t i) { return unsigned{ip[2 * i]} << 8 | ip[2 * i + 1]; };
    std::size_t zeros_begin = 8, zeros_end = 8;
    for (std::size_t i = 0; i < 8; ++i) {
        std::size_t end = i;
        while (end < 8 && group(end) == 0)
            ++end;
        if (end - i >= 2 && end - i > zeros_end - zeros_begin) zeros_begin = i, zeros_end = end;
        if (end > i) i = end;
    }
    for (std::size_t i = 0; i < 8; ++i) {
        if (i == zeros_begin) {
            text += "::";
            i = zeros_end - 1;
            continue;
        }
        if (i > 0 && i != zeros_end) text += ':';
        append_number(text, group(i), 16);
    }
}

void append_domain(std::string& text, std::string_view name) {
    constexpr char hex[] = "0123456789abcdef";
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte > 0x20 && byte < 0x7f && c != '\\') {
            text += c;
        } else {
            text += {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        }
    }
}

} // namespace

std::string to_string(const address& value) {
    std::string text;
    const bool brackets =
        value.type == address::kind::ipv6 ||
        (value.type == address::kind::domain && value.domain.find(':') != std::string::npos);
    if (brackets) text += '[';
    switch (value.type) {
    case address::kind::ipv4:
        append_ipv4(text, value.ip.data());
        break;
    case address::kind::domain:
        append_domain(text, value.domain);
        break;
    case address::kind::ipv6:
        append_ipv6(text, value.ip);
        break;
    }
    if (brackets) text += ']';
    text += ':';
    append_number(text, value.port);
    return text;
}

} // namespace muxsocks::socks5
