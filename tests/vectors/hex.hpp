#pragma once

/// \file
/// Golden bytes as a person reads them: spaced hex, one C++ comment a field behind each piece.

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::tests {

/// The bytes of "05 01 00"; white space may stand between bytes, anything else throws.
inline std::vector<std::uint8_t> hex(std::string_view text) {
    const auto digit = [](char c) -> int {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        throw std::invalid_argument{std::string{"not a lower-case hex digit: "} + c};
    };
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < text.size();) {
        if (text[i] == ' ' || text[i] == '\n') {
            ++i;
            continue;
        }
        if (i + 1 == text.size()) throw std::invalid_argument{"half a byte at the end"};
        bytes.push_back(static_cast<std::uint8_t>(digit(text[i]) * 16 + digit(text[i + 1])));
        i += 2;
    }
    return bytes;
}

/// "05 01 00": compare these, so that a failing test shows bytes in the same form.
inline std::string to_hex(std::span<const std::uint8_t> bytes) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : bytes) {
        if (!text.empty()) text += ' ';
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

} // namespace muxsocks::tests
