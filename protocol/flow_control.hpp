#pragma once

/// \file
/// Credit arithmetic of one stream: absolute offsets that count DATA payload, driven by the
/// receiver (docs/PROTOCOL.md, "Flow control"). What credit costs is for memory_account.hpp.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace muxsocks {

using instant = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using duration = std::chrono::nanoseconds;

/// What the peer has granted and what of it is used.
class send_window {
  public:
    explicit send_window(std::uint64_t limit) : limit_(limit) {}

    std::uint64_t available() const { return limit_ - sent_; }
    std::uint64_t sent() const { return sent_; }
    std::uint64_t limit() const { return limit_; }
    void on_sent(std::uint64_t bytes) { sent_ += bytes; }
    /// Whether the grant is new; a lower or equal one is ignored.
    bool on_credit(std::uint64_t limit) {
        if (limit <= limit_) return false;
        limit_ = limit;
        return true;
    }

  private:
    std::uint64_t sent_ = 0;
    std::uint64_t limit_;
};

/// What we have granted, and when to grant more. The window doubles while a third of it is consumed
/// within one round trip, so that it ends at one and a half to three times the
/// bandwidth-delay product.
///
///     0 ......... consumed ......... received ......... announced ....... consumed + window
///                 taken locally      arrived            the peer's limit   the limit we could
///                 grant
class receive_window {
  public:
    static constexpr std::uint64_t credit_step_max = 256 * 1024;

    /// `announced`: what the peer may send at first.
    receive_window(std::uint64_t window, std::uint64_t announced)
        : window_(window), announced_(announced) {}
    explicit receive_window(std::uint64_t window) : receive_window(window, window) {}

    std::uint64_t received() const { return received_; }
    std::uint64_t consumed() const { return consumed_; }
    std::uint64_t announced() const { return announced_; }
    std::uint64_t window() const { return window_; }
    std::uint64_t unread() const { return received_ - consumed_; }
    /// As it was elsewhere.
    void restore(std::uint64_t received, std::uint64_t consumed, std::uint64_t announced) {
        received_ = received;
        consumed_ = consumed;
        announced_ = announced;
    }

    /// Whether the peer has used up what it may send.
    bool used_up() const { return received_ == announced_; }
    /// Whether `bytes` more are within the announced limit.
    bool accepts(std::uint64_t bytes) const { return received_ + bytes <= announced_; }
    void on_received(std::uint64_t bytes) { received_ += bytes; }
    void on_consumed(std::uint64_t bytes) { consumed_ += bytes; }

    /// Whether a CREDIT is due: the grant has moved by min(W/4, 256 KiB), or by W/8 while the
    /// sender has used up all it has.
    bool credit_due() const {
        if (consumed_ + window_ <= announced_) return false;
        const auto moved = consumed_ + window_ - announced_;
        return moved >= std::min(window_ / 4, credit_step_max) ||
               (used_up() && moved >= window_ / 8);
    }
    /// The limit to announce; it never falls, not even after the window has shrunk.
    std::uint64_t announce() {
        return announced_ = std::max(announced_, std::min(consumed_ + window_, allowed_));
    }

    /// Whether each further grant has to be allowed, as it is where it keeps to a rate.
    void set_paced(bool on) {
        allowed_ = on ? announced_ : unpaced;
        unasked_ = announced_;
    }
    /// Up to where the peer may send without a grant that was allowed: what it had before.
    std::uint64_t unasked() const { return unasked_; }
    /// What could be granted and was not allowed yet.
    std::uint64_t ungranted() const {
        const auto limit = consumed_ + window_;
        const auto granted = std::max(announced_, allowed_);
        return limit > granted ? limit - granted : 0;
    }
    void allow(std::uint64_t bytes) { allowed_ = std::max(announced_, allowed_) + bytes; }
    /// Takes back, once, what was allowed beyond `top`, where the peer's bytes end. What nobody had
    /// to allow is not among it.
    std::uint64_t take_unused(std::uint64_t top) {
        const auto used = std::max(top, unasked_);
        if (allowed_ == unpaced || allowed_ <= used) return 0;
        return std::exchange(allowed_, used) - used;
    }

    /// Whether the window should double: a third of it was consumed within one round trip. Call it
    /// after on_consumed; it keeps the measuring period itself.
    bool wants_growth(instant now, duration rtt) {
        if (now - measured_since_ > rtt) {
            measured_since_ = now;
            measured_from_ = consumed_;
            return false;
        }
        return consumed_ - measured_from_ >= window_ / 3;
    }
    void set_window(std::uint64_t window, instant now) {
        window_ = window;
        measured_since_ = now;
        measured_from_ = consumed_;
    }

  private:
    std::uint64_t received_ = 0;
    std::uint64_t consumed_ = 0;
    std::uint64_t window_;
    static constexpr std::uint64_t unpaced = UINT64_MAX;

    std::uint64_t announced_;
    std::uint64_t allowed_ = unpaced;
    std::uint64_t unasked_ = 0; ///< Where it is paced.
    std::uint64_t measured_from_ = 0;
    instant measured_since_{};
};

} // namespace muxsocks
