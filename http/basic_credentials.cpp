#include "http/basic_credentials.hpp"

#include "http/head.hpp"

#include <cstdint>

namespace muxsocks::http {
namespace {

int digit_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
}

/// RFC 4648, section 4; the padding may be missing.
std::optional<std::string> decode(std::string_view text) {
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i)
        text.remove_suffix(1);
    if (text.size() % 4 == 1) return {};
    std::string decoded;
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : text) {
        const int digit = digit_of(c);
        if (digit < 0) return {};
        bits = bits << 6 | static_cast<unsigned>(digit);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        decoded += static_cast<char>(bits >> count & 0xff);
    }
    return decoded;
}

} // namespace

std::optional<basic_credentials> parse_basic(std::string_view value) {
    const auto space = value.find(' ');
    if (space == value.npos || !same_word(value.substr(0, space), "basic")) return {};
    const auto begin = value.find_first_not_of(' ', space);
    if (begin == value.npos) return {};
    const auto decoded = decode(value.substr(begin));
    if (!decoded) return {};
    const auto colon = decoded->find(':');
    if (colon == decoded->npos) return {};
    return basic_credentials{decoded->substr(0, colon), decoded->substr(colon + 1)};
}

} // namespace muxsocks::http
