#pragma once

/// \file
/// The proxy's side of a SOCKS5 conversation up to a complete request: method negotiation (RFC 1928
/// section 3), user name and password (RFC 1929), request. Bytes of the application go in, bytes
/// for the application come out; it never takes a byte behind the request. What the request asks
/// for, and the reply to a good one, are left to the caller, as are time-outs and the end of the
/// socket.

#include "socks5/message.hpp"
#include "socks5/reply_code.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace muxsocks::socks5 {

/// Whether a user may use the proxy. Must not keep the views, and should compare in constant time.
using credential_check = std::function<bool(std::string_view user, std::string_view password)>;

/// What may be asked for besides CONNECT.
struct accepted_commands {
    bool udp_associate = false;
    bool resolve = false; ///< And the other direction.
};

enum class handshake_state : std::uint8_t { need_more, request_ready, failed };

/// The few bytes that one call can owe the application, kept in place. Converts to a span.
class reply_bytes {
  public:
    const std::uint8_t* data() const { return bytes_.data(); }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    const std::uint8_t* begin() const { return data(); }
    const std::uint8_t* end() const { return data() + size_; }

  private:
    friend class server_handshake;
    void push(std::initializer_list<std::uint8_t> bytes);

    /// METHOD 2, STATUS 2, a refusing reply 10.
    std::array<std::uint8_t, 14> bytes_{};
    std::uint8_t size_ = 0;
};

struct handshake_result {
    /// Bytes taken from the input. All of them while more is needed; none behind the request when
    /// it is ready: what is left is the application's first data. All of them after a failure.
    std::size_t used = 0;
    /// To be sent to the application before anything else, in every state.
    reply_bytes to_send{};
    handshake_state state = handshake_state::need_more;
    /// When a request was refused, the REP that is in to_send; otherwise succeeded.
    reply_code rep = reply_code::succeeded;
    /// Set when failed: log it, send to_send, close.
    std::error_code error{};
};

/// One conversation:
///
///     greeting --05 00--> request --> request_ready
///        |  \--05 02--> password --01 00--^   |
///        |                 |                  | 05 REP ...
///        v 05 FF           v 01 01            v
///     failed            failed             failed
///
/// Usual input, one message or more in a call, is parsed where it lies; only a message that is cut
/// is kept until its rest comes.
class server_handshake {
  public:
    /// With `check` the method is 0x02 (password) and no other. Without it, it is 0x00 (none), or
    /// 0x02 and any password for who offers nothing else.
    explicit server_handshake(credential_check check = {}, accepted_commands accepted = {});

    /// Takes the next bytes of the application. Errors are the application's fault: those of
    /// parse_greeting and parse_request, errc::password_required, no_acceptable_method,
    /// password_version, password_rejected, command_not_supported. After request_ready or failed it
    /// takes nothing.
    handshake_result on_input(std::span<const std::uint8_t> input);

    handshake_state state() const { return state_; }

    /// Valid when the request is ready, and its cmd is CONNECT or an accepted one; or when it was
    /// refused for its cmd.
    const socks5::request& request() const { return request_; }

  private:
    enum class stage : std::uint8_t { greeting, password, request };

    std::size_t take_message(std::span<const std::uint8_t> bytes, handshake_result& result);
    std::size_t take_greeting(std::span<const std::uint8_t> bytes, handshake_result& result);
    std::size_t take_password(std::span<const std::uint8_t> bytes, handshake_result& result);
    std::size_t take_request_message(std::span<const std::uint8_t> bytes, handshake_result& result);
    void fail(handshake_result& result, std::error_code error);
    void refuse(handshake_result& result, std::error_code error);

    bool accepts(command cmd) const;

    credential_check check_;
    accepted_commands accepted_;
    /// The message that is cut: from its beginning, as far as it has come.
    std::vector<std::uint8_t> partial_;
    socks5::request request_;
    stage stage_ = stage::greeting;
    handshake_state state_ = handshake_state::need_more;
};

} // namespace muxsocks::socks5
