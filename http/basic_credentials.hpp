#pragma once

/// \file
/// User and password in Proxy-Authorization: the "Basic" scheme (RFC 7617).

#include <optional>
#include <string>
#include <string_view>

namespace muxsocks::http {

struct basic_credentials {
    std::string user;
    std::string password;
};

/// Nothing if `value` is of another scheme, no base64, or without a colon.
std::optional<basic_credentials> parse_basic(std::string_view value);

} // namespace muxsocks::http
