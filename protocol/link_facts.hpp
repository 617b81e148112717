#pragma once

/// \file
/// What the policy about links (link_choice.hpp) is told, and what it says: plain data. The session
/// knows one half of the facts, who has the sockets the other (TCP_INFO on Linux).

#include "protocol/flow_control.hpp"

#include <array>

namespace muxsocks {

using link_number = std::uint32_t;

struct link_facts {
    link_number number = 0;
    bool joining = false; ///< Whether it waits for the answer to JOIN: it takes nothing yet.
    bool leaving = false; ///< Whether it is being given up or replaced: it takes nothing more.
    bool avoided = false; ///< Whether it owes a sign of life, and others have given theirs.
    bool bbr = false;     ///< Whether its congestion control holds loss for no sign of a full path.

    duration rtt{}; ///< Smoothed; zero while there is none.
    duration rtt_min{};
    std::uint64_t unsent_bytes = 0;
    std::uint64_t in_flight_bytes = 0;
    std::uint64_t bound_bytes = 0;  ///< What the kernel may hold (standing_queue); 0: no bound.
    std::uint64_t retransmits = 0;  ///< Segments since the link began.
    std::uint64_t out_of_order = 0; ///< Segments that came so, likewise.
    std::uint64_t sent_bytes_per_second = 0;     ///< Lately, for example in the last second.
    std::uint64_t received_bytes_per_second = 0; ///< Likewise.
};

/// The session's open streams (bulk_meter.hpp tells which are bulk).
struct stream_facts {
    std::uint32_t bulk_out = 0; ///< That send.
    std::uint32_t bulk_in = 0;  ///< That receive; one may be both.
    std::uint32_t others = 0;
};

/// Who takes what. All are links that are up, or none.
struct link_roles {
    static constexpr link_number none = 0xffff'ffff;
    static constexpr std::size_t bulk_max = 3;

    link_number small = none; ///< Control, opens, RST, requests, replies and streams not bulk.
    link_number twice = none; ///< Takes small frames as well, so that loss is hardly felt.
    /// Each bulk stream goes by one of them; without gaps.
    std::array<link_number, bulk_max> bulk{none, none, none};

    friend bool operator==(const link_roles&, const link_roles&) = default;
};

} // namespace muxsocks
