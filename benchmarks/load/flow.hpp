#pragma once

/// \file
/// A download by datagrams as QUIC does it (RFC 9002): acknowledgements with ranges, NewReno, a
/// probe time-out, and pacing. The target sends, the client acknowledges. No sockets and no clock
/// in it.
///
///     flow_ack      client to target: begins the flow, and says what has arrived
///     flow_packet   target to client: its head, then bytes that fill up flow_packet_bytes

#include "benchmarks/load/datagram.hpp"

#include <bitset>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace muxsocks::load {

inline constexpr std::size_t flow_packet_bytes = 1200;
inline constexpr std::size_t flow_ack_range = 256;

struct flow_ack {
    datagram_kind kind = datagram_kind::flow;
    bool over = false; ///< Everything is there: no more is sent.
    std::array<std::uint8_t, 2> reserved{};
    std::uint32_t id = 0;
    std::uint32_t chunks = 0; ///< wanted in all
    std::uint32_t next = 0;   ///< behind the last number that has arrived; 0: none
    /// Bit i: whether number next - 1 - i has arrived.
    std::array<std::uint64_t, flow_ack_range / 64> arrived{};
};

struct flow_packet {
    datagram_kind kind = datagram_kind::flow;
    std::array<std::uint8_t, 3> reserved{};
    std::uint32_t id = 0;
    std::uint32_t number = 0; ///< never used twice
    std::uint32_t chunk = 0;
};

using flow_time = std::chrono::steady_clock::time_point;

/// The target's side of one flow.
class flow_sender {
  public:
    explicit flow_sender(const flow_ack& first) : id_(first.id), chunks_(first.chunks) {}

    void on_ack(const flow_ack& ack, flow_time now);
    /// The next packet, if one may go now.
    std::optional<flow_packet> next(flow_time now);
    /// Nobody has acknowledged anything for long, or everything is there.
    bool over(flow_time now) const;

  private:
    struct sent_packet {
        std::uint32_t number = 0;
        std::uint32_t chunk = 0;
        flow_time at;
        bool settled = false; ///< acknowledged, or taken for lost
    };

    void on_acknowledged(sent_packet& packet, bool largest, flow_time now);
    void on_lost(sent_packet& packet);
    std::chrono::nanoseconds probe_timeout() const;

    std::uint32_t id_;
    std::uint32_t chunks_;
    std::uint32_t next_number_ = 0;
    std::uint32_t next_chunk_ = 0;
    std::deque<std::uint32_t> lost_; ///< chunks to be sent again
    std::deque<sent_packet> sent_;   ///< by number, from the oldest that is not settled
    std::size_t in_flight_ = 0;
    double window_ = 10; ///< in packets
    double threshold_ = 1e9;
    std::uint32_t recovery_end_ = 0; ///< losses of numbers below it were answered already
    std::chrono::nanoseconds round_trip_{0};
    std::chrono::nanoseconds variation_{0};
    unsigned probes_ = 0;
    bool over_ = false;
    flow_time last_sent_{};
    flow_time heard_{};
    flow_time pace_{};
};

/// The client's side.
class flow_receiver {
  public:
    flow_receiver(std::uint32_t id, std::uint64_t bytes);

    /// Takes a packet; returns whether an acknowledgement is due at once.
    bool take(std::span<const std::uint8_t> bytes);
    flow_ack ack();
    bool complete() const { return arrived_ == got_.size(); }
    std::uint64_t bytes() const { return arrived_ * flow_packet_bytes; }
    /// Numbers that did not arrive, of those up to the last one that did.
    std::uint64_t missing() const { return next_ - packets_; }
    std::uint64_t packets() const { return packets_; }
    /// Whether there is something that no acknowledgement has said yet.
    bool owes() const { return owed_ > 0; }

  private:
    std::uint32_t id_;
    std::vector<bool> got_; ///< by chunk
    std::size_t arrived_ = 0;
    std::uint32_t next_ = 0;
    std::uint64_t packets_ = 0;
    unsigned owed_ = 0;
    std::bitset<flow_ack_range> range_; ///< as in flow_ack
};

} // namespace muxsocks::load
