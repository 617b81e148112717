#pragma once

/// \file
/// How users share `memory.total`: a rule, free of locks and time.
///
/// Each user is guaranteed a share, a quarter of all by the number of those who hold anything, and
/// at least 1 MiB. Who wants more than that may take it from three quarters, and only while it
/// holds no more than what is free: so one greedy user holds half at most beside others, and finds
/// nothing more while somebody holds less. Who is alone may take seven eighths.

#include <algorithm>
#include <cstddef>

namespace muxsocks::server {

struct fair_memory {
    std::size_t limit = 0;   ///< memory.total.
    std::size_t used = 0;    ///< By all.
    std::size_t sharers = 0; ///< Users who hold anything, whoever asks included.

    static constexpr std::size_t guaranteed_min = 1024 * 1024;

    [[nodiscard]] std::size_t guaranteed() const {
        return std::max(guaranteed_min, limit / 4 / std::max<std::size_t>(sharers, 1));
    }
    [[nodiscard]] bool alone() const { return sharers <= 1; }
    /// Whether who holds `held` of `used` may take `bytes` more.
    [[nodiscard]] bool may_take(std::size_t held, std::size_t bytes) const {
        const std::size_t free = limit - std::min(limit, used);
        if (bytes > free) return false;
        if (held + bytes <= guaranteed()) return true;
        const std::size_t kept_free = alone() ? limit / 8 : limit / 4;
        return free - bytes >= kept_free && (alone() || held + bytes <= free);
    }
    /// Whether it holds so little that others should give what they can do without: of what is used
    /// up no more than the mean, so that somebody else holds as much.
    [[nodiscard]] bool deserves(std::size_t held, std::size_t bytes) const {
        return alone() || held + bytes <= std::max(guaranteed(), limit / sharers);
    }
};

} // namespace muxsocks::server
