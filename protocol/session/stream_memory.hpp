#pragma once

/// \file
/// What streams hold unread and what they are promised beyond the initial window, against the
/// session's account; and how windows grow and shrink.

#include "protocol/memory_account.hpp"
#include "protocol/session/stream.hpp"

#include <vector>

namespace muxsocks {

class stream_memory {
  public:
    /// Without a byte taken; over a bound of memory such streams go first.
    static constexpr duration stalled_after = std::chrono::seconds(5);

    stream_memory(memory_account& account, std::uint64_t initial_window, std::uint64_t window_max)
        : account_(account),
          initial_window_(initial_window),
          window_max_(window_max),
          first_window_(initial_window) {}

    /// What windows begin with from here on, and shrink to: no more than the initial one.
    void set_first_window(std::uint64_t window) { first_window_ = window; }
    [[nodiscard]] std::uint64_t first_window() const { return first_window_; }

    /// Charges what the stream holds now. False if that does not fit: something must be shed.
    bool recharge(stream& s);
    /// Gives back what the stream is charged, with what it holds unread.
    void drop(stream& s);
    /// What the stream holds.
    static std::size_t held(const stream& s) {
        return s.unread.size() + s.beyond.size() + s.outside;
    }
    /// What is held for it elsewhere. To be charged next.
    void set_outside(stream& s, std::uint32_t bytes) {
        outside_ = outside_ - s.outside + bytes;
        s.outside = bytes;
    }
    [[nodiscard]] std::size_t outside() const { return outside_; } ///< For all streams.

    /// Bytes were consumed: doubles the window if they were taken quickly, or if `held_up` says
    /// that it is too small, and it can be charged. Whether it grew.
    bool grow(stream& s, instant now, duration rtt, bool held_up);
    std::optional<instant> deadline() const {
        return grown_.empty() ? std::nullopt : std::optional(sweep_at_);
    }
    void on_deadline(instant now);
    /// The stream comes from elsewhere: what it was promised is remembered. To be charged next.
    void restore(stream& s, instant now);
    /// Before streams are deleted.
    template <typename Predicate>
    void forget(Predicate gone) {
        std::erase_if(grown_, gone);
    }

  private:
    std::size_t wanted(const stream& s) const;

    memory_account& account_;
    std::uint64_t initial_window_;
    std::uint64_t window_max_;
    std::uint64_t first_window_;
    std::vector<stream*> grown_; ///< Streams whose window is above the initial one.
    instant sweep_at_{};
    std::size_t outside_ = 0;
};

} // namespace muxsocks
