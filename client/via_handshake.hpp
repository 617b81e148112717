#pragma once

/// \file
/// What is said to a proxy so that a connection with it becomes one with the server: HTTP's CONNECT
/// (RFC 9110, section 9.3.6), or SOCKS5 with or without a password. Bytes in, bytes and a verdict
/// out. The proxy gets the server's name as it is configured, and looks it up. Its failures name
/// the proxy and say what to do, since nobody looks for the cause there.

#include "client/via.hpp"
#include "http/head.hpp"
#include "protocol/byte_order.hpp"

#include <chrono>
#include <system_error>
#include <vector>

namespace muxsocks::client {

enum class via_errc {
    login_refused = 1, ///< The proxy wants a user and a password, or others.
    denied,            ///< Its rules do not allow the server.
    unreachable,       ///< It cannot connect to the server.
    no_proxy,          ///< What answers is no proxy of that kind.
    closed,            ///< It has closed the connection.
    timed_out,
};

/// The category "muxsocks.via".
const std::error_category& via_category() noexcept;
inline std::error_code make_error_code(via_errc code) noexcept {
    return {static_cast<int>(code), via_category()};
}

/// Which hop to the server has failed, and what to do. No error: none has.
struct dial_failure {
    std::error_code why{};
    std::string what{}; ///< A sentence without its dot.
    std::string cure{}; ///< The same, or nothing.

    explicit operator bool() const { return static_cast<bool>(why); }
    std::string text() const { return cure.empty() ? what : what + ": " + cure; }
};

class via_handshake {
  public:
    struct step {
        /// Bytes of the input that were the proxy's; what follows a success is the server's.
        std::size_t used = 0;
        std::vector<std::uint8_t> to_send{};
        bool done = false;
        dial_failure failure{};
    };

    via_handshake(const via_proxy& by, const host_port& to);

    /// What to say first.
    std::vector<std::uint8_t> begin();
    step on_input(bytes_view input);

    /// The same for what has happened to its connection.
    dial_failure closed() const;
    dial_failure late(std::chrono::milliseconds waited) const;

  private:
    enum class state : std::uint8_t { answer, method, login, reply };

    step on_http(bytes_view input);
    step on_socks(bytes_view input);
    step on_status(const http::answer_head& head) const;
    std::vector<std::uint8_t> socks_request() const;
    step no_proxy() const;
    step login_refused() const;
    step denied(const std::string& how) const;
    step unreachable(const std::string& how) const;

    via_proxy by_;
    host_port to_;
    std::string name_; ///< "the proxy 192.0.2.1:3128 (via)".
    state state_ = state::answer;
    std::vector<std::uint8_t> input_; ///< The message that is coming.
    http::head_end end_;
};

} // namespace muxsocks::client

template <>
struct std::is_error_code_enum<muxsocks::client::via_errc> : std::true_type {};
