#pragma once

/// \file
/// Whether one stream is bulk: it moved much lately, in either direction, or much at once
/// (surge_meter.hpp), or its bytes had to wait for the link for long. Bulk goes by links of its own
/// (link_choice.hpp), so that nobody waits behind it.
///
///     other --(1 MiB in 2 s, or 1 s of 2 s waiting for the link, or a surge)--> bulk
///       ^-----------------(in 2 s below half of both, and no surge)--------------'
///
/// The two seconds are four spans of half a second, the newest one begun: they are from one and a
/// half to two seconds long.

#include "protocol/flow_control.hpp"

#include <array>
#include <limits>

namespace muxsocks {

class bulk_meter {
  public:
    /// What makes a stream bulk in `window`. link_choice may ask for less where the links for
    /// others carry too much.
    static constexpr std::uint32_t usual_bytes = 1024 * 1024;
    static constexpr duration window = std::chrono::seconds(2);

    /// Bytes of the stream were sent or received.
    void on_moved(std::uint64_t bytes, instant now) {
        roll(now);
        auto& moved = moved_[span_ % spans];
        moved = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(moved + bytes, std::numeric_limits<std::uint32_t>::max()));
    }
    /// From now on the stream has bytes that could go if the link took them, or has none. Bytes
    /// that wait for credit, or for the application, do not count.
    void on_waiting(bool waits, instant now) {
        roll(now);
        if (waits && !waits_) waiting_since_ = now;
        waits_ = waits;
    }
    /// It has moved much at once.
    void on_surge(instant now) {
        surge_until_ = now + window;
        bulk_ = true;
    }
    /// Moves to `now`, and says whether the stream is bulk. `bulk_bytes`: usual_bytes or less.
    bool update(instant now, std::uint32_t bulk_bytes = usual_bytes) {
        roll(now);
        constexpr auto half = window / 2;
        const auto moved = moved_bytes();
        const auto waited = waited_for();
        if (moved >= bulk_bytes || waited >= half)
            bulk_ = true;
        else if (moved < bulk_bytes / 2 && waited < half / 2 && now >= surge_until_)
            bulk_ = false;
        return bulk_;
    }
    bool bulk() const { return bulk_; }
    /// In the window that ended when it was last moved.
    std::uint64_t moved_bytes() const {
        std::uint64_t sum = 0;
        for (const auto bytes : moved_)
            sum += bytes;
        return sum;
    }

  private:
    static constexpr std::uint32_t spans = 4;
    static constexpr duration span = window / spans;

    duration waited_for() const {
        std::chrono::milliseconds sum{0};
        for (const auto part : waited_ms_)
            sum += std::chrono::milliseconds(part);
        return sum;
    }
    void roll(instant now) {
        const auto number = static_cast<std::uint64_t>(now.time_since_epoch() / span);
        if (number > span_ + spans) {
            // All that is known is too old, but for a wait that goes on.
            moved_ = {};
            waited_ms_ = {};
            span_ = number - spans;
            waiting_since_ = std::max(waiting_since_, begin_of(span_));
        }
        while (span_ < number) {
            count_wait(begin_of(span_ + 1));
            ++span_;
            moved_[span_ % spans] = 0;
            waited_ms_[span_ % spans] = 0;
        }
        count_wait(now);
    }
    void count_wait(instant until) {
        if (!waits_ || until <= waiting_since_) return;
        const auto part =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - waiting_since_);
        waited_ms_[span_ % spans] =
            static_cast<std::uint16_t>(waited_ms_[span_ % spans] + part.count());
        waiting_since_ += part; // parts of a millisecond are not lost
    }
    static instant begin_of(std::uint64_t number) {
        return instant(static_cast<std::int64_t>(number) * span);
    }

    std::uint64_t span_ = 0; ///< Since the clock's epoch; the newest one.
    std::array<std::uint32_t, spans> moved_{};
    std::array<std::uint16_t, spans> waited_ms_{};
    instant waiting_since_{};
    instant surge_until_{};
    bool waits_ = false;
    bool bulk_ = false;
};

} // namespace muxsocks
