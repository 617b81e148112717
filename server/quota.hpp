#pragma once

/// \file
/// How many bytes a user may move in a day, a week, a month or ever, and what it has moved.
/// Days begin at 00:00 UTC, weeks on Monday, months on the first. Free of clocks.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace muxsocks::server {

/// In bits a second; 0: no bound.
struct user_rate {
    std::uint64_t up = 0;
    std::uint64_t down = 0;

    bool operator==(const user_rate&) const = default;
};

enum class quota_period : std::uint8_t { day, week, month, ever };
[[nodiscard]] const char* to_string(quota_period per);
[[nodiscard]] std::optional<quota_period> parse_quota_period(const std::string& text);

using wall_time = std::chrono::sys_seconds;

/// When the period of this moment has begun.
[[nodiscard]] wall_time period_begin(quota_period per, wall_time now);
/// When it ends; never, for the last of them.
[[nodiscard]] std::optional<wall_time> period_end(quota_period per, wall_time begin);

/// Bytes of streams and datagrams.
struct traffic {
    std::uint64_t up = 0;
    std::uint64_t down = 0;

    traffic& operator+=(const traffic& other) {
        up += other.up;
        down += other.down;
        return *this;
    }
    [[nodiscard]] bool none() const { return up == 0 && down == 0; }
    bool operator==(const traffic&) const = default;
};

struct quota_settings {
    enum class counted : std::uint8_t { both, down, up };
    enum class consequence : std::uint8_t { stop, slow };

    std::uint64_t bytes = 0; ///< 0: no quota.
    quota_period per = quota_period::month;
    counted count = counted::both;
    consequence then = consequence::stop;
    user_rate slow_rate{};

    [[nodiscard]] std::uint64_t used_of(const traffic& moved) const;
    /// For the user itself and the log: that it is used up, and until when.
    [[nodiscard]] std::string sentence(std::optional<wall_time> until) const;

    bool operator==(const quota_settings&) const = default;
};

/// What one user has moved. Totals never fall; what belongs to the period begins anew with it.
struct user_usage {
    traffic total;
    traffic period;
    quota_period per = quota_period::month;
    wall_time begin{}; ///< Of the period.
    wall_time since{}; ///< When the user was first seen, and last.
    wall_time last{};

    /// Time has passed, or the quota is for another period now.
    void move_on(quota_period now_per, wall_time now);
    void add(const traffic& moved, wall_time now);

    bool operator==(const user_usage&) const = default;
};

} // namespace muxsocks::server
