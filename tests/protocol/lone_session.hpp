#pragma once

/// \file
/// One session without a peer: a test plays the peer byte by byte. What the session sends comes out
/// as text, one hex line a frame, what it tells its owner as words, and what streams received as
/// strings, so that a test compares with golden values. Whatever the peer's bytes are cut into
/// (`cutting`), the outcome must be the same.
///
/// Cryptography is real, but random bytes count up from a value of the test's choice, so that the
/// vectors of docs/PROTOCOL.md come out.
///
/// With MUXSOCKS_CORPUS=FOLDER in the environment each session writes what it was fed to a file
/// there, in the form of tests/fuzz/session_fuzz.cpp: seeds for that fuzzer.

#include "protocol/session.hpp"

#include <deque>
#include <map>
#include <random>
#include <string>

namespace muxsocks::tests {

using octets = std::vector<std::uint8_t>;

/// Into which pieces the peer's bytes are cut.
enum class cutting : std::uint8_t { whole, byte_by_byte, at_random };

/// A frame in the form of lone_session::sent(), its payload given as hex.
std::string frame_text(std::uint32_t stream_id, unsigned flags, std::string_view payload = {});
/// The bytes of a frame whose payload is too long for hex.
octets frame_bytes(std::uint32_t stream_id, unsigned flags, std::string_view payload);
/// A CTRL frame on stream 0.
std::string control_text(std::string_view payload);
/// The CLOSE with which a fault ends the session.
std::string close_text(errc why, close_code code = close_code::protocol_error);
/// `text` as hex.
std::string hex_of(std::string_view text);
std::string hex_u64(std::uint64_t value);
/// CREDIT, as sent.
std::string credit_text(std::uint32_t stream_id, std::uint64_t limit);

class lone_session {
  public:
    using lines = std::vector<std::string>;

    /// The example of docs/PROTOCOL.md: user laptop with its token, both features on.
    static session_settings settings_of(role side);

    explicit lone_session(role side, cutting how = cutting::whole)
        : lone_session(settings_of(side), how) {}
    explicit lone_session(session_settings settings, cutting how = cutting::whole);
    ~lone_session();
    lone_session(const lone_session&) = delete;
    lone_session& operator=(const lone_session&) = delete;

  private:
    chunk_pool pool_;
    session_settings settings_;

  public:
    instant now{std::chrono::hours(1)};
    session core;

    /// The first link is up, with the exporter of docs/PROTOCOL.md.
    void link_up();
    /// link_up(), and the whole handshake with an honest peer. `window` and `max_streams` are what
    /// the peer's HELLO says.
    void establish(std::uint32_t window = 256 * 1024, std::uint32_t max_streams = 16'384);

    /// link_up(), and the handshake of docs/PROTOCOL.md to the letter.
    void establish_as_documented();

    // ---- The peer.

    /// Bytes from the peer, as hex.
    void feed(std::string_view hex_text);
    void feed(const octets& received);
    /// The frames that the session sends now, and what it laid before.
    lines sent();
    /// Of these the frames of streams: without ACK, PING and PONG.
    lines stream_frames();
    /// Time passes; every deadline on the way is kept.
    void pass(duration time);

    // ---- The owner of the streams.

    struct owner {
        std::uint32_t id = 0;
        stream* s = nullptr; ///< None once released.
        std::string received;
        std::string to_send; ///< What the socket still has to give.
        bool end_after = false;
        bool reading = true; ///< Whether the socket takes what comes.
        bool ended = false;
    };
    /// What the session told since the last call: "established", "opened 1", "end 1",
    /// "reset 1: why", "goaway: why", "detached: why", "resumed", "closed: why".
    lines told();
    owner& open(std::string_view request);
    /// The stream that the peer opened.
    owner& opened(std::uint32_t id);
    void send(owner& o, std::string_view text, bool end = false);
    /// The socket takes up to `size` unread bytes.
    void take(owner& o, std::size_t size);
    void release(owner& o);

  private:
    void greet_as_server(std::uint32_t window, std::uint32_t max_streams);
    void greet_as_client(std::uint32_t window);
    std::uint32_t features() const;
    octets take_output();
    void give(bytes_view piece);
    void record(bytes_view received);
    void settle();
    void on_event(const event& what);
    void lay_turn();
    static std::size_t read(const read_slot& slot, read_outcome& outcome);

    cutting cutting_;
    std::mt19937 random_;
    octets seed_; ///< For the corpus: what was fed since the handshake.
    octets unparsed_;
    octets laid_;
    lines told_;
    std::deque<owner> owners_;
    std::map<std::uint32_t, owner*> opened_;
};

} // namespace muxsocks::tests
