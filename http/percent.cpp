#include "http/percent.hpp"

namespace muxsocks::http {
namespace {

int hex_digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

} // namespace

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string made;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            made += text[i];
            continue;
        }
        if (i + 2 >= text.size()) return {};
        const int high = hex_digit_of(text[i + 1]);
        const int low = hex_digit_of(text[i + 2]);
        if (high < 0 || low < 0) return {};
        made += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return made;
}

} // namespace muxsocks::http
