#pragma once

/// \file
/// What TCP itself knows of a link's path, in totals since the connection began. TCP_INFO has it on
/// Linux; what an older kernel lacks stays 0.

#include "protocol/flow_control.hpp"

namespace muxsocks {

struct path_facts {
    std::uint64_t acked_bytes = 0;      ///< Of ours, acknowledged in order by the peer's TCP.
    std::uint64_t delivered = 0;        ///< Packets of ours that arrived, in whatever order.
    std::uint64_t received_bytes = 0;   ///< Of the peer's, in order.
    std::uint64_t out_of_order = 0;     ///< Packets of the peer's that came behind a gap.
    std::uint32_t in_flight = 0;        ///< Packets of ours that are not acknowledged.
    std::uint32_t timeouts = 0;         ///< Retransmission time-outs in a row.
    std::uint32_t segment = 0;          ///< Bytes of a full segment of ours.
    duration rtt{};                     ///< Smoothed; zero while there is none.
    duration rtt_min{};                 ///< Of the last minutes; the same.
    duration since_received{};          ///< Since the peer's bytes came last.
    duration since_ack{};               ///< Since any acknowledgement came.
    std::uint64_t sent = 0;             ///< Packets of ours with data, each time that they were.
    std::uint64_t retransmits = 0;      ///< Of those, the ones that had been sent before.
    std::uint64_t unsent_bytes = 0;     ///< That wait in the kernel for room on the path.
    std::uint64_t bytes_per_second = 0; ///< What the path delivered when it was last measured.

    std::uint64_t in_flight_bytes() const { return std::uint64_t{in_flight} * segment; }
};

} // namespace muxsocks
