#pragma once

/// \file
/// The proxy through which a link is dialled (`via`), as it is written: "http://proxy:3128",
/// "socks5://user:password@proxy:1080", or what the environment has for all programs.

#include "protocol/program/settings.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace muxsocks::client {

struct via_proxy {
    enum class kind : std::uint8_t { http, socks5 };

    kind speaks = kind::http;
    host_port address;
    std::string user; ///< Empty: no login.
    std::string password;

    bool operator==(const via_proxy&) const = default;
};

/// Without the password: "http://proxy:3128".
[[nodiscard]] std::string to_string(const via_proxy& proxy);

/// Nothing if the text is no proxy that is known here; `hint` may then say why. Without a scheme it
/// is HTTP, without a port 8080 or 1080.
[[nodiscard]] std::optional<via_proxy> parse_via(std::string_view text, std::string& hint);

/// The value of a variable; nothing if it is not set.
using environment_values = std::function<std::optional<std::string>(const char* name)>;

/// What https_proxy or all_proxy names, in lower case or upper; nothing if there is none, or
/// no_proxy names the server. Throws config_error with a sentence about a variable that is wrong.
[[nodiscard]] std::optional<via_proxy> via_of_environment(const host_port& server,
                                                          const environment_values& values);

} // namespace muxsocks::client
