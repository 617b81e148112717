#pragma once

/// \file
/// One session without a peer: a test plays the peer, frame by frame, on any of its links. What the
/// session sends comes out as text, one line a frame; what it tells its owner as words.

#include "protocol/session/session.hpp"
#include "tests/sim/test_crypto.hpp"

#include <deque>
#include <map>
#include <string>

namespace muxsocks::tests {

using octets = std::vector<std::uint8_t>;
using lines = std::vector<std::string>;

// ---- Frames, as the peer sends them.

inline octets frame(std::uint32_t id, unsigned flags, bytes_view payload) {
    octets out(frame_header_size);
    encode_header(out.data(), {id, static_cast<std::uint8_t>(flags),
                               static_cast<std::uint16_t>(payload.size())});
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
}
inline octets data(std::uint32_t id, std::uint64_t offset, std::string_view text,
                   unsigned flags = flag::data) {
    octets payload(offset_size);
    store_u64(payload.data(), offset);
    payload.insert(payload.end(), text.begin(), text.end());
    return frame(id, flags, payload);
}
inline octets rst(std::uint32_t id, reset_code code = reset_code::cancelled) {
    octets payload(4);
    store_u32(payload.data(), static_cast<std::uint32_t>(code));
    return frame(id, flag::rst, payload);
}
inline octets control(bytes_view payload, std::uint32_t id = 0) {
    return frame(id, flag::ctrl, payload);
}
inline octets number_frame(control_type type, std::uint64_t value, std::uint32_t id = 0) {
    octets payload(9, static_cast<std::uint8_t>(type));
    store_u64(payload.data() + 1, value);
    return control(payload, id);
}
inline octets ack(std::uint64_t frames) { return number_frame(control_type::ack, frames); }
inline octets credit(std::uint32_t id, std::uint64_t limit) {
    return number_frame(control_type::credit, limit, id);
}
inline octets drop(link_number number, std::uint64_t frames) {
    return control(encode(drop_frame{number, frames}));
}
inline octets operator+(octets a, const octets& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// A frame that was sent: "DATA 1 @0 SYN hello", "RST 1 code 2", "ACK 3", "DROP 1 frames 4".
std::string text_of(bytes_view whole);

class lone {
  public:
    static session_settings settings_of(role side);
    explicit lone(role side) : lone(settings_of(side)) {}
    explicit lone(session_settings settings);
    /// With MUXSOCKS_CORPUS, the name of a folder, what the peer has said goes there as an input of
    /// tests/fuzz/session_fuzz.cpp.
    ~lone();

  private:
    chunk_pool pool_;
    session_settings settings_;

  public:
    instant now{std::chrono::hours(1)};
    session core;
    std::size_t woken = 0;

    /// The first link is up, and the handshake is over. The peer's HELLO says the rest.
    void establish(hello_frame theirs = {});
    /// A further link, which has joined. Returns its number.
    link_number join();

    // ---- The peer.

    void feed(link_number link, const octets& bytes);
    /// What the session sends on the link now.
    lines sent(link_number link = 0);
    /// The same as bytes, CTRL frames of the handshake for example.
    octets output(link_number link = 0);
    /// One turn of `size` bytes at most.
    octets turn(link_number link, std::size_t size = chunk_pool::default_chunk_size);
    /// Time passes; every deadline on the way is kept.
    void pass(duration time);

    // ---- The owner of the streams.

    struct owner {
        stream* s = nullptr; ///< None once released.
        std::string received;
        std::string to_send;
        std::deque<std::string> datagrams; ///< To be sent.
        bool end_after = false;
        bool reading = true;
    };
    owner& open(std::string_view request);
    owner& opened(std::uint32_t id) { return *opened_.at(id); }
    void send(owner& o, std::string_view text, bool end = false);
    /// Its socket has one more datagram.
    void send_datagram(owner& o, std::string bytes);
    /// The socket takes up to `size` unread bytes.
    void take(owner& o, std::size_t size = std::string::npos);
    /// What the session told since the last call.
    lines told();
    void settle();

  private:
    void on_event(const event& what);

    std::deque<owner> owners_;
    std::map<std::uint32_t, owner*> opened_;
    lines told_;
    link_number joined_ = 0;
    std::map<link_number, octets> unparsed_;

    void record(link_number link, const octets& bytes);
    octets
        recorded_; ///< In session_fuzz's own form: a mode, then pieces, each behind link and size.
};

} // namespace muxsocks::tests
