#pragma once

/// \file
/// The counters that end an abusive session (docs/PROTOCOL.md, "Floods"). Each is a token bucket:
/// a burst, refilled at a rate.

#include "protocol/error.hpp"
#include "protocol/flow_control.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

namespace muxsocks {

class token_bucket {
  public:
    token_bucket(double rate_per_second, double burst)
        : rate_(rate_per_second), burst_(burst), tokens_(burst) {}

    /// Whether a token was left.
    bool take(instant now) {
        if (!has(now)) return false;
        tokens_ -= 1;
        return true;
    }
    /// Whether one could be taken.
    bool has(instant now) {
        tokens_ = std::min(burst_, tokens_ + rate_ * seconds(now - refilled_));
        refilled_ = now;
        return tokens_ >= 1;
    }
    void give(double tokens) { tokens_ = std::min(burst_, tokens_ + tokens); }
    /// How many are left, whole ones, at most what the type holds: a burst may be sized by a number
    /// that the peer has announced, and be more. And as it was elsewhere.
    std::uint32_t level(instant now) {
        (void)has(now);
        constexpr double most = std::numeric_limits<std::uint32_t>::max();
        return static_cast<std::uint32_t>(std::min(tokens_, most));
    }
    void set_level(std::uint32_t tokens, instant now) {
        tokens_ = std::min(burst_, static_cast<double>(tokens));
        refilled_ = now;
    }

  private:
    static double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

    double rate_;
    double burst_;
    double tokens_;
    instant refilled_{};
};

struct flood_limits {
    double opens_per_second = 20'000;
    double opens_burst = 20'000;
    double incomplete_per_second = 200; ///< Streams that end before their request was complete.
    double incomplete_burst = 1'000;
    double resets_per_second = 33; ///< Of streams that were not connected.
    double resets_burst = 1'000;
    double empty_per_second = 100; ///< DATA without payload.
    double empty_burst = 1'000;
    double credits_per_second = 1'000; ///< Grants that move by less than 1 KiB.
    double credits_burst = 10'000;
    double pings_per_second = 20;
    double pings_burst = 200;
    double extensions_per_second = 100; ///< Control frames of unknown types from 0x80 on.
    double extensions_burst = 1'000;
    double datagrams_per_second = 200'000; ///< Above it they are dropped.
    double datagrams_burst = 20'000;
};

class flood_guard {
  public:
    explicit flood_guard(const flood_limits& limits)
        : opens(limits.opens_per_second, limits.opens_burst),
          incomplete(limits.incomplete_per_second, limits.incomplete_burst),
          resets(limits.resets_per_second, limits.resets_burst),
          empty(limits.empty_per_second, limits.empty_burst),
          credits(limits.credits_per_second, limits.credits_burst),
          pings(limits.pings_per_second, limits.pings_burst),
          extensions(limits.extensions_per_second, limits.extensions_burst),
          datagrams(limits.datagrams_per_second, limits.datagrams_burst) {}

    token_bucket opens;
    token_bucket incomplete;
    token_bucket resets;
    token_bucket empty;
    token_bucket credits;
    token_bucket pings;
    token_bucket extensions;
    token_bucket datagrams; ///< Ends no session, and is none of all().

    std::array<token_bucket*, 7> all() {
        return {&opens, &incomplete, &resets, &empty, &credits, &pings, &extensions};
    }
};

} // namespace muxsocks
