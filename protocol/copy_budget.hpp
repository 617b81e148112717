#pragma once

/// \file
/// How many bytes of small frames may go by two links at once: so much a second, of which what was
/// not used is saved up for one second, or for two frames where that is more.

#include "protocol/flow_control.hpp"

#include <algorithm>

namespace muxsocks {

class copy_budget {
  public:
    /// A frame that is longer goes by one link: a KiB, and its headers.
    static constexpr std::size_t frame_max = 1024 + 15;

    void set_rate(std::uint64_t bytes_per_second) { rate_ = bytes_per_second; }
    /// Whether a frame of so many bytes may go twice; takes it as sent.
    bool take(std::size_t bytes, instant now) {
        if (bytes > frame_max || rate_ == 0) return false;
        const auto rate = static_cast<double>(rate_);
        const auto passed = std::chrono::duration<double>(now - filled_).count();
        filled_ = now;
        left_ = std::min(std::max<double>(rate, 2 * frame_max), left_ + passed * rate);
        if (left_ < static_cast<double>(bytes)) return false;
        left_ -= static_cast<double>(bytes);
        return true;
    }

  private:
    std::uint64_t rate_ = 0;
    double left_ = 0;
    instant filled_{};
};

} // namespace muxsocks
