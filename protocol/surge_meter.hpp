#pragma once

/// \file
/// Whether an association sends much at once. A flow by datagrams that finds out what a path
/// carries, as QUIC does, doubles what it sends in each round trip, and has overfilled the path's
/// queue before bulk_meter, which looks at two seconds, knows of it. So this looks at a tenth of
/// one. What it finds at once bulk_meter would find, too, if it lasted.
///
/// There is one in each stream, thousands of idle ones: it takes four bytes.

#include "protocol/flow_control.hpp"

#include <algorithm>

namespace muxsocks {

class surge_meter {
  public:
    /// So much in one span of time, and the bytes that make it so, 5 Mbit/s: a video call is below.
    static constexpr duration span = std::chrono::milliseconds(100);
    static constexpr std::uint32_t much_bytes = 64 * 1024;

    /// Bytes were sent. Says whether it is much by now in the span that `now` is in.
    bool on_moved(std::uint32_t bytes, instant now) {
        // The same number comes again after hours; then a surge is found some datagrams early.
        const auto number = static_cast<std::uint16_t>(now.time_since_epoch() / span);
        if (number != span_) {
            span_ = number;
            units_ = 0;
        }
        const auto sum = units_ + (bytes + unit_bytes - 1) / unit_bytes;
        units_ = static_cast<std::uint16_t>(std::min(sum, most_units));
        return units_ >= much_bytes / unit_bytes;
    }

  private:
    static constexpr std::uint32_t unit_bytes = 16;
    static constexpr std::uint32_t most_units = 0xffff;

    std::uint16_t span_ = 0; ///< Its number, counted in spans; low bits.
    std::uint16_t units_ = 0;
};

} // namespace muxsocks
