#pragma once

/// \file
/// How many kept frames one link has brought, and when its peer is told (ACK): after 128 KiB of
/// them, or 20 ms after the first that is not acknowledged.

#include "protocol/flow_control.hpp"

#include <cstddef>
#include <optional>

namespace muxsocks {

class receipts {
  public:
    static constexpr std::size_t ack_after_bytes = 128 * 1024;
    static constexpr duration ack_after = std::chrono::milliseconds(20);

    /// A kept frame of `bytes` has been processed, whatever became of it.
    void on_frame(std::size_t bytes, instant now) {
        ++frames_;
        bytes_ += bytes;
        if (bytes_ >= ack_after_bytes)
            due_ = true;
        else if (!deadline_)
            deadline_ = now + ack_after;
    }
    std::uint64_t frames() const { return frames_; }
    bool ack_due() const { return due_; }
    /// Whether an ACK would say something new.
    bool has_news() const { return frames_ > acked_; }
    void on_ack_laid() {
        acked_ = frames_;
        bytes_ = 0;
        due_ = false;
        deadline_.reset();
    }
    std::optional<instant> deadline() const { return deadline_; }
    void on_deadline(instant now) {
        if (!deadline_ || now < *deadline_) return;
        due_ = true;
        deadline_.reset();
    }

  private:
    std::uint64_t frames_ = 0;
    std::uint64_t acked_ = 0;
    std::size_t bytes_ = 0;
    std::optional<instant> deadline_;
    bool due_ = false;
};

} // namespace muxsocks
