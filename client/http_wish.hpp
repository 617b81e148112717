#pragma once

/// \file
/// What a head asks of the proxy, and whether who asks may: the same for the first request of a
/// connection and for those that follow on it.

#include "http/authority.hpp"
#include "http/head.hpp"
#include "socks5/address.hpp"
#include "socks5/credentials.hpp"

namespace muxsocks::client {

struct http_wish {
    enum class kind : std::uint8_t {
        refused, ///< `wrong` says why.
        log_in,  ///< `guessed` says whether a password was wrong, or there was none.
        tunnel,  ///< CONNECT to `target`.
        forward, ///< To `target`, as `to` names it, with what `rest` is of its own target.
        udp,     ///< A tunnel for datagrams to `target` (RFC 9298).
        own,     ///< The proxy itself is meant.
    };

    kind what = kind::refused;
    http::fault wrong{};
    bool guessed = false;
    socks5::address target{};
    http::authority to{};
    std::string_view rest{};
};

/// `users` null: nobody has to log in. Views are those of `request`.
http_wish wish_of(const http::request_head& request, const socks5::credentials* users);

} // namespace muxsocks::client
