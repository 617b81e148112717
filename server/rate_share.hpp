#pragma once

/// \file
/// What one session has of one direction of its user's rate: takes a slab from shared_rate when the
/// session is short of it, every 10 milliseconds at most, and tells the session when it may go on.

#include "protocol/link/loop/deadlines.hpp"
#include "protocol/session/pace.hpp"
#include "server/shared_rate.hpp"

#include <functional>

namespace muxsocks::server {

class rate_share final : public pace {
  public:
    static constexpr duration slab{std::chrono::milliseconds(10)};
    /// Bulk pays for what small messages take in front of it, up to that.
    static constexpr duration small_ahead{std::chrono::milliseconds(100)};
    static constexpr std::int64_t small_ahead_min = 32 * 1024;

    /// `waiting` says how many streams wait for it, `go_on` is called when there is some. `unit`:
    /// what one stream moves at a time, in bytes at least. `of` outlives it.
    rate_share(deadlines& clock, shared_rate& of, std::size_t unit,
               std::function<std::size_t()> waiting, std::function<void()> go_on)
        : of_(of),
          unit_(unit),
          waiting_(std::move(waiting)),
          go_on_(std::move(go_on)),
          tick_(clock, [this] { on_tick(); }) {
        resize();
    }
    rate_share(const rate_share&) = delete;
    rate_share& operator=(const rate_share&) = delete;
    ~rate_share() { wait_for(0); }

    /// The rate may be another one.
    void resize() {
        most_ = of_.bytes_in(shared_rate::burst) / 2;
        reserve_ = std::max(of_.bytes_in(small_ahead), small_ahead_min);
        at_once_ = std::max(unit_, static_cast<std::size_t>(of_.bytes_in(slab / 4)));
    }

    void want(instant now) override {
        wanted_ = true;
        if (tick_.is_set()) return;
        if (now - claimed_ >= slab) claim(now);
        tick_after();
    }

  private:
    void on_tick() {
        const auto waits = static_cast<std::int64_t>(waiting_());
        if (waits == 0 && !std::exchange(wanted_, false)) return wait_for(0);
        wanted_ = false;
        wait_for(std::max<std::int64_t>(waits, 1));
        if (left_ <= 0) claim(std::chrono::steady_clock::now());
        const bool may = open_for_small();
        tick_after();
        if (may) go_on_();
    }

    void claim(instant now) {
        resize();
        left_ += of_.claim(now, now - claimed_, std::max<std::int64_t>(published_, 1));
        // A long debt is no use: what it was for has gone long ago.
        left_ = std::max(left_, -std::max(of_.bytes_in(shared_rate::burst), 2 * small_ahead_min));
        claimed_ = now;
    }
    /// When there may be something again.
    void tick_after() {
        duration pause = slab;
        const auto due = of_.bytes_in(shared_rate::burst) * std::max<std::int64_t>(published_, 1) /
                         std::max<std::int64_t>(of_.waiting(), 1);
        if (left_ < 0 && due > 0)
            pause = std::clamp(shared_rate::burst * -left_ / due, slab, shared_rate::burst / 2);
        tick_.expires_after(pause);
    }
    void wait_for(std::int64_t streams) {
        of_.change_waiting(streams - published_);
        published_ = streams;
    }

    shared_rate& of_;
    std::size_t unit_;
    std::function<std::size_t()> waiting_;
    std::function<void()> go_on_;
    deadline tick_;
    instant claimed_{};
    std::int64_t published_ = 0; ///< For how many streams it waits, as the others know.
    bool wanted_ = false;
};

} // namespace muxsocks::server
