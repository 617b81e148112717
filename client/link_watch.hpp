#pragma once

/// \file
/// Whether a link moves: what was seen of it, second by second, and what that says. A slow line is
/// not a stalled one: anything that TCP carries, either way, is movement, however long a whole
/// record takes. Free of I/O: facts and the time come in.

#include "protocol/path_facts.hpp"

#include <optional>

namespace muxsocks::client {

/// A link that carries a session, at one time.
struct progress_facts {
    path_facts path;
    std::uint64_t frames_acked = 0;    ///< Kept frames of ours that the peer has acknowledged.
    std::uint64_t frames_received = 0; ///< Frames and bytes of the peer's.
    bool owes = false;    ///< Whether the peer owes an answer: to frames of ours, or to a PING.
    bool streams = false; ///< Whether there are any.
};

class link_watch {
  public:
    enum class stall : std::uint8_t {
        none,
        silent, ///< An answer is owed, and nothing moves either way.
        stuck,  ///< What we send does not arrive.
        /// What we send does not arrive while the peer's bytes do: the path carries small packets
        /// and swallows large ones.
        swallowed,
    };

    /// A link takes the session up. `again`: the one before it had stalled, so it is asked for a
    /// sign of life at once.
    void begin(const progress_facts& at_first, bool again, instant now);
    void observe(const progress_facts& seen, instant now);

    stall judge(duration patience, instant now) const;
    /// Whether to ask for a sign of life, though none is owed: the peer has sent frames, or this
    /// link has begun, and then nothing more came. A path that swallows what it sends next does not
    /// show otherwise.
    bool wants_probe(instant now) const;
    void on_probe() { asked_ = true; }

    /// Whether the peer has acknowledged or sent a kept frame on this link.
    bool progressed() const { return progressed_; }
    /// When it last moved either way.
    instant moved() const { return std::max(sent_, received_); }
    instant received() const { return received_; }
    /// When it last did what it is for: frames came through, much was carried, or nothing was due.
    instant useful() const { return useful_; }
    const progress_facts& last() const { return last_; }
    instant begun() const { return begun_; }

  private:
    bool may_be_queued(duration patience, instant now) const;

    progress_facts first_;
    progress_facts last_;
    instant begun_{};
    instant sent_{};     ///< When something of ours last arrived.
    instant acked_{};    ///< The same, without a gap in front of it.
    instant received_{}; ///< When something of the peer's last came.
    instant useful_{};
    std::optional<instant> flying_;        ///< Since when packets of ours have been on their way.
    std::uint64_t received_meanwhile_ = 0; ///< Bytes of the peer's when ours last arrived.
    std::optional<instant> owed_;          ///< Since when an answer is owed.
    bool again_ = false;
    bool asked_ = false; ///< Whether a sign of life was asked for since frames last came.
    bool progressed_ = false;
};

} // namespace muxsocks::client
