#pragma once

/// \file
/// What a policy knows of each link, and what it decides: which link takes what. The session knows
/// the first half, whoever has the socket fills in the second (TCP_INFO).

#include "protocol/flow_control.hpp"
#include "protocol/session/control.hpp"

#include <array>

namespace muxsocks::core {

struct link_facts {
    link_number number = 0;
    duration rtt{};
    bool carries_bulk = false; ///< Whether it is one of the links for bulk.
    bool doubted = false;      ///< Whether it owes a sign of life and others have given theirs.
    bool joining = false;
    std::uint64_t kept_bytes = 0; ///< Not acknowledged by the session's peer.

    std::uint64_t unsent_bytes = 0;
    std::uint64_t in_flight_bytes = 0;
    std::uint64_t retransmits = 0; ///< Since the link began.
    std::uint64_t bytes_per_second = 0;
};

/// Who takes what. A link that is not up is as good as none: the newest one takes its part.
struct link_roles {
    static constexpr link_number none = 0xffff'ffff;
    link_number small = none; ///< Control, opens, RST, requests, replies and fresh streams.
    link_number twice = none; ///< Takes small frames as well, so that loss is hardly felt.
    std::array<link_number, 3> bulk{none, none, none}; ///< Each stream goes by one of them.

    friend bool operator==(const link_roles&, const link_roles&) = default;
};

} // namespace muxsocks::core
