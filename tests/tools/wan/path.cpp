#include "tests/tools/wan/path.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks::tools {

void path::on_packet(packet_ptr arrived, time_point now) {
    const std::size_t size = arrived->size;
    ++counts_.in_packets;
    counts_.in_bytes += size;
    if (now < black_out_end_) return drop(std::move(arrived), counts_.blacked_out);
    if (settings.mtu != 0 && size > settings.mtu) return drop(std::move(arrived), counts_.too_big);
    transmit(now);
    if (settings.bytes_per_second == 0 && queue_.empty()) return leave(std::move(arrived), now);
    if (!queue_.empty() && queued_bytes_ + size > settings.queue_bytes)
        return drop(std::move(arrived), counts_.queue_full);
    queued_bytes_ += size;
    counts_.queued_bytes_max = std::max(counts_.queued_bytes_max, queued_bytes_);
    queue_.push_back({now, std::move(arrived)});
}

packet_ptr path::next_due(time_point now) {
    transmit(now);
    while (!under_way_.empty() && under_way_.top().due <= now) {
        packet_ptr due = std::move(under_way_.top().what);
        under_way_.pop();
        if (now < black_out_end_) {
            drop(std::move(due), counts_.blacked_out);
            continue;
        }
        ++counts_.delivered_packets;
        counts_.delivered_bytes += due->size;
        return due;
    }
    return nullptr;
}

std::optional<time_point> path::next_time() const {
    std::optional<time_point> next;
    if (!under_way_.empty()) next = under_way_.top().due;
    if (!queue_.empty()) {
        // Nothing can be seen of the packet before it has also travelled.
        const time_point due = transmitted_at(queue_.front()) + settings.delay;
        next = next ? std::min(*next, due) : due;
    }
    return next;
}

time_point path::transmitted_at(const waiting& head) const {
    const time_point begin = std::max(transmitter_free_, head.came);
    if (settings.bytes_per_second == 0) return begin;
    const std::chrono::duration<double> takes(static_cast<double>(head.what->size) /
                                              static_cast<double>(settings.bytes_per_second));
    return begin + std::chrono::duration_cast<duration>(takes);
}

void path::transmit(time_point now) {
    while (!queue_.empty()) {
        const time_point done = transmitted_at(queue_.front());
        if (done > now) return;
        transmitter_free_ = done;
        packet_ptr sent = std::move(queue_.front().what);
        queue_.pop_front();
        queued_bytes_ -= sent->size;
        leave(std::move(sent), done);
    }
}

void path::leave(packet_ptr sent, time_point at) {
    if (lost_in_burst()) return drop(std::move(sent), counts_.lost_in_bursts);
    if (chance(settings.loss)) return drop(std::move(sent), counts_.lost);
    time_point due = at + settings.delay;
    if (chance(settings.reorder)) {
        ++counts_.reordered;
        due += settings.reorder_by;
    }
    under_way_.push({due, next_number_++, std::move(sent)});
}

bool path::lost_in_burst() {
    if (settings.burst.enter == 0) return in_burst_ = false;
    in_burst_ = in_burst_ ? !chance(settings.burst.leave) : chance(settings.burst.enter);
    return in_burst_;
}

bool path::chance(double share) {
    return share > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < share;
}

void path::drop(packet_ptr dropped, std::uint64_t& count) {
    ++count;
    pool_.give_back(std::move(dropped));
}

} // namespace muxsocks::tools
