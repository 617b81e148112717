#pragma once

/// \file
/// One direction of the WAN, without any I/O: packets and the time come in, packets come out when
/// they are due. Each packet passes, in this order,
///
///     black-out and MTU -> queue (bytes, tail drop) -> transmitter (rate) -> loss -> delay,
///     reorder
///
/// so that what is lost has used up the bottleneck, as on a real line. Times are exact however late
/// the caller looks: a packet's way is computed from when it came, not from when it was looked at.

#include "tests/tools/quantity.hpp"
#include "tests/tools/wan/packet.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <vector>

namespace muxsocks::tools {

/// Loss that comes in runs (Gilbert): in the bad state every packet is lost. `enter` and `leave`
/// are the chances, for each packet, to change the state.
struct burst_loss {
    double enter = 0;
    double leave = 1;
};

struct path_settings {
    duration delay{};
    std::uint64_t bytes_per_second = 0; ///< 0: no limit, and then no queue either
    std::uint64_t queue_bytes = 0;      ///< in front of the transmitter; one packet always fits
    double loss = 0;                    ///< of each packet by itself, 0 to 1
    burst_loss burst;
    double reorder = 0; ///< the share of packets that come `reorder_by` later than the others
    duration reorder_by{};
    std::size_t mtu = 0; ///< 0: whatever the devices take
    /// Whether the sender of a packet above the MTU is told so; else it is a black hole.
    bool mtu_is_told = false;
};

/// Everything since the start. in = delivered + all kinds of loss + what is still inside.
struct path_counts {
    std::uint64_t in_packets = 0;
    std::uint64_t in_bytes = 0;
    std::uint64_t delivered_packets = 0;
    std::uint64_t delivered_bytes = 0;
    std::uint64_t lost = 0;
    std::uint64_t lost_in_bursts = 0;
    std::uint64_t queue_full = 0;
    std::uint64_t too_big = 0;
    std::uint64_t blacked_out = 0;
    std::uint64_t reordered = 0;
    std::uint64_t queued_bytes_max = 0;
};

class path {
  public:
    path(packet_pool& pool, std::uint64_t seed) : pool_(pool), random_(seed) {}

    /// May be changed at any time; packets that have passed a station keep what they got there. A
    /// shorter delay lets new packets overtake older ones, as a new route does.
    path_settings settings;

    const path_counts& counts() const { return counts_; }
    std::uint64_t queued_bytes() const { return queued_bytes_; }
    /// Packets that are in the queue or under way.
    std::size_t inside() const { return queue_.size() + under_way_.size(); }

    /// Until then everything that enters or would come out is lost.
    void black_out_until(time_point end) { black_out_end_ = end; }

    /// Whether a packet of that size is above the MTU, and its sender is to be told.
    bool would_tell(std::size_t size) const {
        return settings.mtu_is_told && settings.mtu != 0 && size > settings.mtu;
    }

    /// A packet has come. `now` does not go backwards.
    void on_packet(packet_ptr arrived, time_point now);

    /// The next packet that is due, or null. Returned packets go back to the pool.
    packet_ptr next_due(time_point now);

    /// When next_due() is worth asking again; nothing if the path is empty.
    std::optional<time_point> next_time() const;

  private:
    struct flying {
        time_point due;
        std::uint64_t number = 0;
        mutable packet_ptr what; // a priority_queue shows its elements as const only

        bool operator<(const flying& other) const {
            return due != other.due ? due > other.due : number > other.number;
        }
    };
    struct waiting {
        time_point came;
        packet_ptr what;
    };

    time_point transmitted_at(const waiting& head) const;
    void transmit(time_point now);
    void leave(packet_ptr sent, time_point at);
    bool chance(double share);
    bool lost_in_burst();
    void drop(packet_ptr dropped, std::uint64_t& count);

    packet_pool& pool_;
    random_engine random_;
    std::deque<waiting> queue_;
    std::uint64_t queued_bytes_ = 0;
    /// When the transmitter is done with the last packet that left it.
    time_point transmitter_free_{};
    std::priority_queue<flying> under_way_;
    std::uint64_t next_number_ = 0;
    bool in_burst_ = false;
    time_point black_out_end_{};
    path_counts counts_;
};

} // namespace muxsocks::tools
