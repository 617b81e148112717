#pragma once

/// \file
/// The messages of RFC 1928 and RFC 1929, in the order in which a conversation has them; fields
/// bear the RFCs' names. Each has a parser (see parse_result.hpp) and an `append` that writes it
/// behind what a vector holds; `encode` gives it a vector of its own. VER is not a field, because
/// only one value is right; RSV is ignored when read and written as 0. Who says what when is in
/// handshake.hpp.

#include "socks5/address.hpp"
#include "socks5/parse_result.hpp"
#include "socks5/reply_code.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muxsocks::socks5 {

// -- Method negotiation, RFC 1928 section 3 -------------------------------------------------------

enum class auth_method : std::uint8_t {
    none = 0x00,
    gssapi = 0x01,
    password = 0x02,
    no_acceptable = 0xff,
};

/// VER 05 | NMETHODS | METHODS, from the application.
struct greeting {
    /// A view of the bytes that were parsed.
    std::span<const std::uint8_t> methods{};

    bool offers(auth_method method) const;
};

/// VER 05 | METHOD, from the proxy.
struct method_selection {
    auth_method method = auth_method::no_acceptable;
};

/// Errors, the application's fault, known with the first byte: errc::socks4_request,
/// errc::http_request, errc::tls_client_hello, errc::not_socks5. "C" alone is named http_request;
/// with more bytes it may turn out to be not_socks5.
parse_result<greeting> parse_greeting(std::span<const std::uint8_t> bytes);
/// Error, the server's fault: errc::reply_version.
parse_result<method_selection> parse_method_selection(std::span<const std::uint8_t> bytes);

/// At most 255 methods.
void append(std::vector<std::uint8_t>& out, const greeting& message);
void append(std::vector<std::uint8_t>& out, const method_selection& message);

// -- User name and password, RFC 1929 -------------------------------------------------------------

/// VER 01 | ULEN | UNAME | PLEN | PASSWD, from the application.
struct password_request {
    /// Views of the bytes that were parsed. May be empty, against the RFC; no user has such.
    std::string_view uname{};
    std::string_view passwd{};
};

/// VER 01 | STATUS, from the proxy; anything but 0 is a refusal.
struct password_status {
    std::uint8_t status = 0;
};

/// Error, the application's fault: errc::password_version.
parse_result<password_request> parse_password_request(std::span<const std::uint8_t> bytes);
/// Error, the server's fault: errc::password_version.
parse_result<password_status> parse_password_status(std::span<const std::uint8_t> bytes);

/// At most 255 bytes each.
void append(std::vector<std::uint8_t>& out, const password_request& message);
void append(std::vector<std::uint8_t>& out, const password_status& message);

// -- Request and reply, RFC 1928 sections 4 to 6 --------------------------------------------------

/// Others may stand in a request; they parse, and are answered with REP 0x07.
enum class command : std::uint8_t {
    connect = 0x01,
    bind = 0x02,
    udp_associate = 0x03,
    resolve = 0xf0,     ///< Tor's: the address of DST's name is to stand in the reply.
    resolve_ptr = 0xf1, ///< Tor's, too: the name of DST's address.
};

/// "BIND (0x02)"; "command 0x7f" if it has no name.
std::string to_string(command cmd);

/// VER 05 | CMD | RSV 00 | ATYP, DST.ADDR, DST.PORT, from the application.
struct request {
    command cmd = command::connect;
    address dst{};

    friend bool operator==(const request&, const request&) = default;
};

/// VER 05 | REP | RSV 00 | ATYP, BND.ADDR, BND.PORT, from the proxy.
struct reply {
    /// A reply_code, or an unassigned value from 0x09.
    std::uint8_t rep = 0;
    address bnd{};

    reply_code code() const { return static_cast<reply_code>(rep); }
    friend bool operator==(const reply&, const reply&) = default;
};

/// A reply with `code`; `bnd` is 0.0.0.0:0 where nothing was bound.
inline reply make_reply(reply_code code, address bnd = {}) {
    return {static_cast<std::uint8_t>(code), std::move(bnd)};
}

/// Errors, the application's fault: errc::request_version, and those of parse_address. The REP for
/// each of them is reply_code_from(error). `value.cmd` is filled in also when the address is wrong.
parse_result<request> parse_request(std::span<const std::uint8_t> bytes);
/// Errors, the server's fault: errc::reply_version, and those of parse_address. `value.rep` is
/// filled in also when the address is wrong, as with servers that send ATYP 0 with a refusal.
parse_result<reply> parse_reply(std::span<const std::uint8_t> bytes);

void append(std::vector<std::uint8_t>& out, const request& message);
void append(std::vector<std::uint8_t>& out, const reply& message);

// -- All ------------------------------------------------------------------------------------------

/// The longest message: the user name and password, VER | ULEN | 255 | PLEN | 255.
inline constexpr std::size_t message_bytes_max = 3 + 255 + 255;

/// The bytes of one message.
template <typename Message>
requires requires(std::vector<std::uint8_t>& out, const Message& m) { append(out, m); }
std::vector<std::uint8_t> encode(const Message& message) {
    std::vector<std::uint8_t> out;
    append(out, message);
    return out;
}

} // namespace muxsocks::socks5
