#pragma once

/// \file
/// A rate that a session shares with others, as the session sees it: one for what it reads of its
/// streams' sockets, and one for the credit that it grants. Nothing is queued for it: what may not
/// be read waits in the kernel's buffer of its socket, and what may not be sent with the peer.
/// Whoever shares the rate out derives from this; tests/protocol/session/pace_test.cpp has one.

#include "protocol/flow_control.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace muxsocks {

class pace {
  public:
    /// Whether bulk may move.
    bool open() const { return left_ > 0; }
    /// Whether anything may: streams that have sent little move on credit, so that a keystroke does
    /// not wait for its share behind downloads. Bulk makes up for it.
    bool open_for_small() const { return left_ > -reserve_; }
    /// About how much one stream may move at a time.
    std::size_t at_once() const { return at_once_; }
    void spend(std::size_t bytes) { left_ -= static_cast<std::int64_t>(bytes); }
    /// What was spent and is not used after all.
    void give_back(std::size_t bytes) {
        left_ = std::max(left_, std::min(left_ + static_cast<std::int64_t>(bytes), most_));
    }
    /// Something waits for more: perhaps there is some at once, else pacing::on_pace() follows.
    virtual void want(instant now) = 0;

  protected:
    ~pace() = default;

    std::int64_t left_ = 0; ///< Below 0 after the last visit of a stream, which is never cut.
    std::int64_t most_ = 0; ///< To be given back.
    std::int64_t reserve_ = 0;
    std::size_t at_once_ = SIZE_MAX;
};

} // namespace muxsocks
