#pragma once

/// \file
/// The wire of version 2 as an attacker needs it, written from docs/PROTOCOL.md and not with the
/// project's own code, which would refuse to say most of what is to be said here.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::attack {

using bytes = std::vector<std::uint8_t>;
using view = std::span<const std::uint8_t>;

namespace wire {

enum flag : std::uint8_t {
    syn = 0x01,
    fin = 0x02,
    data = 0x04,
    ping = 0x08,
    pong = 0x10,
    rst = 0x20,
    ctrl = 0x40,
};

enum type : std::uint8_t {
    hello = 0x01,
    auth = 0x02,
    auth_ok = 0x03,
    credit = 0x10,
    ack = 0x20,
    join = 0x21,
    join_ok = 0x22,
    join_fail = 0x23,
    drop = 0x24,
    goaway = 0x30,
    close = 0x31,
};

constexpr std::size_t header_bytes = 7;
/// Of the offset in front of what DATA carries.
constexpr std::size_t offset_bytes = 8;

struct frame {
    std::uint32_t stream = 0;
    std::uint8_t flags = 0;
    bytes payload;

    /// Whether it is a control frame of this type.
    bool is(type which) const { return flags == ctrl && !payload.empty() && payload[0] == which; }
    /// Whether ACK counts it.
    bool kept() const { return (flags & (data | fin | rst)) != 0 || is(goaway) || is(drop); }
};

/// Length of the payload of the frame that begins here with a whole header.
std::size_t payload_bytes(view header);
/// The frame that begins here, which must be whole.
frame read_frame(view from);

void put(bytes& out, std::uint32_t stream, std::uint8_t flags, view payload);
/// DATA, with SYN at offset 0, and with FIN if `more_flags` has it.
void put_data(bytes& out, std::uint32_t stream, std::uint64_t offset, view content,
              std::uint8_t more_flags = 0);
void put_rst(bytes& out, std::uint32_t stream, std::uint32_t code);
void put_credit(bytes& out, std::uint32_t stream, std::uint64_t limit);
void put_ack(bytes& out, std::uint64_t frames);

/// JOIN_FAIL's payload: there is no such session.
bytes join_fail_unknown();

/// A SOCKS5 request for an IPv4 address in text, or else for a name.
bytes request(std::string_view host, std::uint16_t port);

/// The token that this tool and its callers give to a user.
std::string token_of(std::string_view user);

/// The secrets of one session, in the order of its handshake; both sides' parts.
class handshake {
  public:
    explicit handshake(std::string user);

    /// HELLO's payload, which asks for a session that can be resumed.
    bytes client_hello(std::uint32_t initial_window, bool channel_binding);
    /// AUTH's payload; the views are of the server's HELLO, and of the exporter (or empty).
    bytes client_auth(view server_hello, view exporter);
    /// Takes AUTH_OK's payload; false if it is another frame or proves nothing.
    bool on_auth_ok(view payload);
    /// JOIN's payload.
    bytes client_join(std::uint32_t number, view exporter) const;

    /// A server's HELLO for a client's, and its AUTH_OK for the AUTH that came: both sides' secrets
    /// are those of the client's user.
    bytes server_hello(view client_hello);
    bytes server_auth_ok(view client_auth, view exporter);

  private:
    bytes proof(std::string_view label, view more) const;
    void transcribe(std::uint8_t method, view exporter);

    std::string user_;
    bytes key_;
    bytes client_hello_;
    bytes server_hello_;
    bytes transcript_;
    bytes session_id_;
    bytes secret_;
};

} // namespace wire
} // namespace muxsocks::attack
