#pragma once

/// \file
/// Whether the peer of a link acknowledges what it has processed. Silence proves nothing: a slow
/// line may hold frames for minutes. But a PONG does: whoever answers a PING has read all that went
/// out before it, and owes the ACK within milliseconds. So a PING asks when frames have waited for
/// `patience`, and a peer that has answered one and has not acknowledged what went before it for as
/// long again withholds: to keep its frames would let it hold our memory for nothing.
///
/// Pure: counts and time come in as arguments.

#include "protocol/flow_control.hpp"

#include <cstdint>
#include <optional>

namespace muxsocks {

class ack_watch {
  public:
    static constexpr duration patience = std::chrono::seconds(5);
    /// For the PONG, however slow the line is: what a link has under way takes no longer.
    static constexpr duration answer_max = std::chrono::seconds(120);

    /// Kept frames on the link, of which `acked` are acknowledged; after each change of either.
    void on_counts(std::uint64_t sent, std::uint64_t acked, instant now) {
        sent_ = sent;
        acked_ = acked;
        const bool shown = owed_ && acked_ >= owed_->frames;
        if (acked_ >= sent_ || shown) begin_again();
        if (acked_ < sent_ && !since_) since_ = now;
    }
    void on_ping_sent() { before_ping_ = sent_; }
    /// The newest PING has its PONG.
    void on_pong(instant now) {
        asked_.reset();
        if (!since_ || owed_) return;
        if (acked_ < before_ping_)
            owed_ = {before_ping_, now};
        else
            since_ = now;
    }

    /// Whether a PING is to ask the peer now; follow it with on_asked().
    bool ask_due(instant now) const {
        return since_ && !owed_ && !asked_ && now >= *since_ + patience;
    }
    void on_asked(instant now) { asked_ = now; }
    /// Whether the peer had the frames long ago, by its own word, and says nothing of them, or does
    /// not say that it had them.
    bool withheld(instant now) const {
        return (owed_ && now >= owed_->at + patience) || (asked_ && now >= *asked_ + answer_max);
    }
    std::optional<instant> deadline() const {
        if (owed_) return owed_->at + patience;
        if (asked_) return *asked_ + answer_max;
        if (!since_) return {};
        return *since_ + patience;
    }

  private:
    struct debt {
        std::uint64_t frames = 0; ///< That the peer had processed when it sent the PONG.
        instant at{};
    };

    void begin_again() {
        since_.reset();
        owed_.reset();
        asked_.reset();
    }

    std::uint64_t sent_ = 0;
    std::uint64_t acked_ = 0;
    std::uint64_t before_ping_ = 0; ///< Frames that went out before the newest PING.
    std::optional<instant> since_;  ///< Since when frames wait without a sign that all is well.
    std::optional<debt> owed_;
    std::optional<instant> asked_; ///< Since when a PING is due or out for this.
};

} // namespace muxsocks
