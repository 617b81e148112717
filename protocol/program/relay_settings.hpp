#pragma once

/// \file
/// From the configuration to what relays are told.

#include "protocol/link/relay.hpp"
#include "protocol/program/settings.hpp"

namespace muxsocks {

[[nodiscard]] inline relay_timeouts make_relay_timeouts(const timeout_settings& timeouts,
                                                        const tcp_keepalive_settings& keepalive) {
    using std::chrono::ceil;
    using std::chrono::seconds;
    return {timeouts.idle,
            timeouts.half_closed,
            {ceil<seconds>(keepalive.idle), ceil<seconds>(keepalive.interval),
             static_cast<int>(keepalive.count)}};
}

} // namespace muxsocks
