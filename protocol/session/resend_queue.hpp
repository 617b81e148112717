#pragma once

/// \file
/// What links that were lost, or are doubted, had carried and is not acknowledged: it goes by
/// others, unchanged. Small frames are laid among new ones; bulk goes out as it stands in its
/// chunk.

#include "protocol/session/kept_frames.hpp"

namespace muxsocks {

class resend_queue {
  public:
    /// Frames of up to this size are copied into a turn.
    static constexpr std::size_t small_max = 1024 + data_header_size;

    explicit resend_queue(kept_memory& memory) : memory_(memory) {}
    ~resend_queue() { clear(); }
    resend_queue(const resend_queue&) = delete;
    resend_queue& operator=(const resend_queue&) = delete;

    /// One frame.
    void add(const stretch& frame);
    bool has_small() const { return !small_.empty(); }
    bool has_bulk() const { return !bulk_.empty(); }
    bool empty() const { return small_.empty() && bulk_.empty(); }
    std::uint64_t frames() const { return frames_; }

    bytes_view front_small() const { return small_.front().bytes(); }
    void pop_small();
    /// The next stretch, of at most `size_max` bytes unless one frame alone is longer. Until
    /// forget() is called with it, it is kept.
    stretch take_bulk(std::size_t size_max);
    void forget(const stretch& taken) { memory_.forget(taken.chunk); }
    void clear();

  private:
    kept_memory& memory_;
    std::deque<stretch> small_;
    std::deque<stretch> bulk_;
    std::uint64_t frames_ = 0;
};

} // namespace muxsocks
