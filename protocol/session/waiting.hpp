#pragma once

/// \file
/// What waits for a turn besides the bytes of streams: opens, ends and grants.

#include "protocol/session/scheduler.hpp"

#include <deque>

namespace muxsocks {

struct waiting {
    ready_list opening; ///< Streams whose first frame has not been laid.
    std::size_t opening_count = 0;
    ready_list resets;                  ///< Streams that are to send RST.
    ready_list paced_resets;            ///< The same at a client, of those that count as a flood.
    std::size_t resetting = 0;          ///< Open ones whose RST has not been laid, listed or not.
    instant resets_paced_until{};       ///< The rate of them that the server allows is reached.
    std::deque<std::uint32_t> refusals; ///< Ids that are answered with RST(refused).
    std::vector<stream*> credits;       ///< Streams whose grant is to be said.

    bool resets_paced(instant now) const { return now < resets_paced_until; }
    bool rst_pending(instant now) const {
        return !refusals.empty() || !resets.empty() ||
               (!paced_resets.empty() && !resets_paced(now));
    }
    void take_out_reset(stream& s) {
        if (s.queued == stream::queue::resets) resets.remove(s);
        if (s.queued == stream::queue::paced_resets) paced_resets.remove(s);
    }
    void take_out_opening(stream& s) {
        opening.remove(s);
        --opening_count;
        s.queued = stream::queue::none;
    }
    /// All at once: taking thousands of streams out one by one would be quadratic.
    void clear() {
        opening = {};
        resets = {};
        paced_resets = {};
        opening_count = 0;
        refusals.clear();
    }
};

} // namespace muxsocks
