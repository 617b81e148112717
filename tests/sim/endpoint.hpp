#pragma once

/// \file
/// One side of a simulated link: a session, driven to the letter of protocol/session.hpp, and the
/// two pipes that it speaks on. It checks what every driver relies on: a turn without bytes leaves
/// nothing to be sent, a deadline that was handled lies in the past no more.

#include "protocol/session.hpp"
#include "tests/sim/pipe.hpp"

#include <stdexcept>

namespace muxsocks::sim {

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
};

class endpoint {
  public:
    endpoint(session_settings settings, stream_user& user, instant now)
        : core(std::move(settings), now), user_(user) {}

    session core;
    std::size_t output_max = 256 * 1024; ///< No more turns while as much waits for the pipe.

    /// Speaks on these pipes from now on; what the old ones still carry is dropped. `unparsed`
    /// has been read from the new one already.
    void use(pipe* out, pipe* in, std::vector<std::uint8_t> unparsed = {});
    /// No link; what waits for it is dropped.
    void drop_link() { use(nullptr, nullptr); }
    bool has_link() const { return out_ != nullptr; }

    // Each returns whether anything happened.

    /// Reads up to `bytes_max` bytes of what has arrived and gives them to the session.
    bool receive(std::size_t bytes_max, instant now);
    /// Lays turns while the session wants them, and writes up to `bytes_max` bytes.
    bool send(std::size_t bytes_max, instant now);
    bool time_out(instant now);
    /// Hands out events and ends the batch: to be called after everything that happens.
    void settle();

    /// Whether everything that was laid has been taken by the pipe.
    bool flushed() const { return laid_.empty(); }

  private:
    struct laid_turn {
        bytes_view bytes;
        chunk_ref keep;
    };

    void lay_turn(instant now);
    void parse(instant now);

    stream_user& user_;
    pipe* out_ = nullptr;
    pipe* in_ = nullptr;
    std::vector<std::uint8_t> inbox_; ///< Read, not yet taken by the session.
    bool unparsed_ = false;           ///< Whether the inbox came with the link.
    std::deque<laid_turn> laid_;
    std::size_t laid_bytes_ = 0;
};

} // namespace muxsocks::sim
