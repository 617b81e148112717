#include "http/authority.hpp"

#include <algorithm>
#include <charconv>

namespace muxsocks::http {
namespace {

bool is_host_byte(char c) {
    const auto value = static_cast<unsigned char>(c);
    // What RFC 3986 allows in a name, without the percent sign, and bytes of UTF-8, which some
    // servers know names by.
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~' || value >= 0x80;
}

bool is_ipv6_byte(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' ||
           c == '.';
}

} // namespace

std::string authority::text(std::uint16_t usual) const {
    std::string made;
    if (bracketed) made += '[';
    made += host;
    if (bracketed) made += ']';
    if (port != usual) made += ':' + std::to_string(port);
    return made;
}

std::optional<authority> parse_authority(std::string_view text, std::uint16_t usual) {
    authority parsed;
    if (!text.empty() && text.front() == '[') {
        const auto end = text.find(']');
        if (end == text.npos) return {};
        parsed.host = text.substr(1, end - 1);
        parsed.bracketed = true;
        text.remove_prefix(end + 1);
        if (!std::all_of(parsed.host.begin(), parsed.host.end(), is_ipv6_byte)) return {};
    } else {
        const auto end = std::min(text.find(':'), text.size());
        parsed.host = text.substr(0, end);
        text.remove_prefix(end);
        if (!std::all_of(parsed.host.begin(), parsed.host.end(), is_host_byte)) return {};
    }
    if (parsed.host.empty() || parsed.host.size() > 255) return {};
    parsed.port = usual;
    if (text.size() > 1) {
        const auto digits = text.substr(1);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), parsed.port);
        if (text.front() != ':' || error != std::errc() || end != digits.data() + digits.size())
            return {};
    } else if (!text.empty() && text.front() != ':') {
        return {};
    }
    if (parsed.port == 0) return {};
    return parsed;
}

std::optional<absolute_target> parse_absolute(std::string_view target) {
    const auto colon = target.find("://");
    if (colon == target.npos || colon == 0) return {};
    const auto scheme = target.substr(0, colon);
    if (!std::all_of(scheme.begin(), scheme.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '+' || c == '-' || c == '.';
        }))
        return {};
    target.remove_prefix(colon + 3);
    const auto end = std::min(target.find_first_of("/?"), target.size());
    return absolute_target{scheme, target.substr(0, end), target.substr(end)};
}

} // namespace muxsocks::http
