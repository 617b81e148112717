#include "benchmarks/load/flow.hpp"

#include <algorithm>
#include <cstring>

namespace muxsocks::load {

namespace {

using namespace std::chrono_literals;

// RFC 9002, sections 6.1.1, 6.2.2, 7.2 and 7.7; RFC 9000, section 18.2 (max_ack_delay).
constexpr std::uint32_t reordering_packets = 3;
constexpr auto first_round_trip = 333ms;
constexpr auto ack_delay_max = 25ms;
constexpr double window_min = 2;
constexpr double pacing_gain = 1.25;
constexpr auto pacing_burst = 2ms;
constexpr unsigned probes_until_collapse = 3;
constexpr auto flow_patience = 15s;
/// An acknowledgement is due after so many packets.
constexpr unsigned packets_of_ack = 2;

bool has_arrived(const flow_ack& ack, std::uint32_t number) {
    if (number >= ack.next || ack.next - 1 - number >= flow_ack_range) return false;
    const auto at = ack.next - 1 - number;
    return (ack.arrived[at / 64] >> (at % 64) & 1) != 0;
}

} // namespace

std::chrono::nanoseconds flow_sender::probe_timeout() const {
    const auto once =
        round_trip_ == 0ns
            ? std::chrono::nanoseconds(2 * first_round_trip)
            : round_trip_ + std::max<std::chrono::nanoseconds>(4 * variation_, 1ms) + ack_delay_max;
    return once * (1 << std::min(probes_, 6u));
}

void flow_sender::on_acknowledged(sent_packet& packet, bool largest, flow_time now) {
    packet.settled = true;
    --in_flight_;
    if (largest) {
        const std::chrono::nanoseconds sample = now - packet.at;
        if (round_trip_ == 0ns) {
            round_trip_ = sample;
            variation_ = sample / 2;
        } else {
            const auto off = sample > round_trip_ ? sample - round_trip_ : round_trip_ - sample;
            variation_ = (3 * variation_ + off) / 4;
            round_trip_ = (7 * round_trip_ + sample) / 8;
        }
    }
    if (packet.number < recovery_end_) return;
    window_ += window_ < threshold_ ? 1 : 1 / window_;
}

void flow_sender::on_lost(sent_packet& packet) {
    packet.settled = true;
    --in_flight_;
    lost_.push_back(packet.chunk);
    if (packet.number < recovery_end_) return;
    window_ = threshold_ = std::max(window_ / 2, window_min);
    recovery_end_ = next_number_;
}

void flow_sender::on_ack(const flow_ack& ack, flow_time now) {
    heard_ = now;
    over_ = over_ || ack.over;
    for (auto& packet : sent_) {
        if (packet.number >= ack.next) break;
        if (packet.settled) continue;
        if (has_arrived(ack, packet.number)) {
            on_acknowledged(packet, packet.number + 1 == ack.next, now);
            probes_ = 0;
        } else if (packet.number + reordering_packets < ack.next) {
            on_lost(packet);
        }
    }
    while (!sent_.empty() && sent_.front().settled)
        sent_.pop_front();
}

std::optional<flow_packet> flow_sender::next(flow_time now) {
    if (heard_ == flow_time{}) heard_ = now;
    bool probe = false;
    if (in_flight_ > 0 && now - last_sent_ > probe_timeout()) {
        const auto oldest = std::find_if(sent_.begin(), sent_.end(),
                                         [](const auto& packet) { return !packet.settled; });
        oldest->settled = true;
        --in_flight_;
        lost_.push_front(oldest->chunk);
        if (++probes_ >= probes_until_collapse) window_ = window_min;
        probe = true;
    }
    if (lost_.empty() && next_chunk_ == chunks_) return {};
    if (!probe && (static_cast<double>(in_flight_) >= window_ || now < pace_)) return {};
    flow_packet packet;
    packet.id = id_;
    packet.number = next_number_++;
    if (lost_.empty()) {
        packet.chunk = next_chunk_++;
    } else {
        packet.chunk = lost_.front();
        lost_.pop_front();
    }
    sent_.push_back({packet.number, packet.chunk, now});
    ++in_flight_;
    last_sent_ = now;
    if (round_trip_ > 0ns)
        pace_ = std::max(pace_, now - pacing_burst) +
                std::chrono::nanoseconds(static_cast<std::int64_t>(
                    static_cast<double>(round_trip_.count()) / (pacing_gain * window_)));
    return packet;
}

bool flow_sender::over(flow_time now) const {
    return over_ || (heard_ != flow_time{} && now - heard_ > flow_patience);
}

flow_receiver::flow_receiver(std::uint32_t id, std::uint64_t bytes)
    : id_(id), got_((bytes + flow_packet_bytes - 1) / flow_packet_bytes) {}

bool flow_receiver::take(std::span<const std::uint8_t> bytes) {
    flow_packet packet;
    if (bytes.size() != flow_packet_bytes) return false;
    std::memcpy(&packet, bytes.data(), sizeof packet);
    if (packet.kind != datagram_kind::flow || packet.id != id_ || packet.chunk >= got_.size())
        return false;
    ++packets_;
    bool gap = packet.number != next_;
    if (packet.number >= next_) {
        const auto further = packet.number + 1 - next_;
        range_ = further < flow_ack_range ? range_ << further : std::bitset<flow_ack_range>();
        range_.set(0);
        next_ = packet.number + 1;
    } else if (const auto behind = next_ - 1 - packet.number; behind < flow_ack_range) {
        range_.set(behind);
    }
    if (!got_[packet.chunk]) {
        got_[packet.chunk] = true;
        ++arrived_;
    }
    return ++owed_ >= packets_of_ack || gap || complete();
}

flow_ack flow_receiver::ack() {
    owed_ = 0;
    flow_ack made;
    made.id = id_;
    made.over = complete();
    made.chunks = static_cast<std::uint32_t>(got_.size());
    made.next = next_;
    for (std::size_t i = 0; i < flow_ack_range; ++i)
        if (range_[i]) made.arrived[i / 64] |= std::uint64_t{1} << (i % 64);
    return made;
}

} // namespace muxsocks::load
