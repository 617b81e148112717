#pragma once

/// \file
/// One side of a simulated session: the session, driven to the letter of
/// protocol/session/session.hpp, and the pipes of its links. It checks what every driver relies on:
/// a turn without bytes leaves nothing to be sent, a deadline that was handled lies in the past no
/// more, and whoever had something to say has woken it.

#include "protocol/session/session.hpp"
#include "tests/sim/pipe.hpp"
#include "tests/sim/random.hpp"

#include <memory>
#include <stdexcept>

namespace muxsocks::session_sim {

using muxsocks::sim::pipe;

/// A promise was broken; the text says which.
struct violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void require(bool holds, const char* promise) {
    if (!holds) throw violation(promise);
}

/// Whoever uses the streams of one side.
class stream_user {
  public:
    struct read_result {
        std::size_t bytes = 0;
        read_outcome outcome = read_outcome::drained;
    };

    virtual ~stream_user() = default;
    virtual void on_event(const event& what) = 0;
    /// Fills the places of the slot in order, as a read of the stream's socket would.
    virtual read_result read(const read_slot& slot) = 0;
    /// Puts one datagram into the place; returns its bytes, and whether there are more.
    virtual std::pair<std::size_t, bool> read_datagram(const datagram_slot&) { return {}; }
    /// What the owner of the stream needs where its session goes on, and there.
    virtual std::vector<std::uint8_t> owner_of(stream&) { return {}; }
    virtual void adopt(session&, stream&, bytes_view) {}
};

/// One link as one side has it.
struct link_end {
    link_number number = 0;
    pipe* out = nullptr;
    pipe* in = nullptr;
    std::vector<std::uint8_t> inbox; ///< Read, not yet taken by the session.
    bool unparsed = false;           ///< Whether the inbox came with the link.
    struct laid_turn {
        bytes_view bytes;
        chunk_ref keep;
    };
    std::deque<laid_turn> laid;
    std::size_t laid_bytes = 0;
};

class endpoint {
  public:
    endpoint(session_settings settings, stream_user& user, instant now)
        : settings_(std::move(settings)),
          core_(std::make_unique<session>(settings_, now)),
          user_(user) {}

    session& core() { return *core_; }
    const session& core() const { return *core_; }
    std::size_t output_max = 256 * 1024; ///< No more turns while as much waits for a pipe.
    std::deque<link_end> links;
    /// Called with each link that the session gives up, or that it was refused.
    std::function<void(link_end&, const event&)> on_link_over;

    link_end& add(link_number number, pipe& out, pipe& in, std::vector<std::uint8_t> unparsed = {});
    link_end* find(link_number number);
    link_end* end_of(const pipe& out);
    /// The link is gone for the session, too.
    void lose(link_number number, instant now);
    void forget(link_number number);
    /// The session goes on as another object, made of the bytes of this one's state; its links are
    /// lost. If that fails it goes on as it is.
    void hand_over(bool fails, instant now);

    // Each returns whether anything happened.

    /// Reads up to `bytes_max` bytes of what has arrived on the link and gives them to the session.
    bool receive(link_number number, std::size_t bytes_max, instant now);
    /// Lays turns while the session wants them, and writes up to `bytes_max` bytes.
    bool send(link_number number, std::size_t bytes_max, instant now);
    bool time_out(instant now);
    /// Hands out events and ends the batch: to be called after everything that happens.
    void settle();

  private:
    void dispatch();
    void lay_turn(link_end& on, instant now);

    session_settings settings_;
    std::unique_ptr<session> core_;
    stream_user& user_;
};

} // namespace muxsocks::session_sim
