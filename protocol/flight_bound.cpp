#include "protocol/flight_bound.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

using namespace std::chrono_literals;

constexpr duration look_min = 5ms;
constexpr duration rest_least = 1min;
constexpr duration rest_most = 16min;

/// The queue that is waited for, and the one that is allowed, as parts of the round trip.
constexpr int onset_part = 8;
constexpr int allowed_part = 16;
constexpr duration allowed_min = 1ms;
constexpr double allowed_bytes = 24 * 1024; ///< Some packets, whatever they take.
constexpr int patience_most = 32;

constexpr double too_slow = 0.9;
constexpr double wider = 1.25;
constexpr double narrower = 0.85;
constexpr double climbs_by = 1.08; ///< Of a quarter more in flight.
/// What is tried, and what is worth it. Where the path is full it all stands in the queue.
constexpr double tried = 1.125;
constexpr double worth_more = 1.04;
constexpr int probe_rtts = 50;
/// BBR looks for more every eight round trips, and a queue stands then where it is full; in its
/// startup it climbs faster.
constexpr int climb_rtts = 10;
constexpr double climb_most = 4;
constexpr int climb_patience_max = 64;
constexpr duration probe_min = 2s;
constexpr duration probe_max = 16s;
constexpr int probe_patience_max = 8;

/// What a pause has emptied fills within some round trips, and with little in the queue.
constexpr double pace_over_bound = 1.0625;
constexpr int windows_of_change = 1;
constexpr int windows_of_pause = 2;

double in_seconds(duration d) { return std::chrono::duration<double>(d).count(); }

} // namespace

void flight_bound::on_sample(const flight_sample& sample, instant now) {
    if (window_begun_ && sample.delivered_bytes >= window_delivered_) {
        const auto bytes = static_cast<double>(sample.delivered_bytes - window_delivered_);
        rate_ = bytes / in_seconds(now - *window_begun_);
        watch_climb(sample, now);
        if (limit_)
            follow(sample, now);
        else
            look(sample, now);
    }
    held_ = false;
    rtt_min_ = sample.rtt_min;
    window_begun_ = now;
    const auto length = std::max(look_min, limit_ ? sample.rtt : sample.rtt / 4);
    window_end_ = now + length;
    late_ = window_end_ + length;
    window_delivered_ = sample.delivered_bytes;
}

duration flight_bound::allowance(const flight_sample& sample) const {
    const auto rate = std::max(rate_, free_rate_);
    const duration packets(static_cast<std::int64_t>(1e9 * allowed_bytes / (rate + 1)));
    const auto least = std::max({allowed_min, packets, sample.rtt_min / allowed_part});
    return patience_ * least;
}

std::optional<double> flight_bound::pace_bytes_per_second() const {
    if (!limit_ || rtt_min_ < far) return {};
    return pace_over_bound * static_cast<double>(*limit_) / in_seconds(rtt_min_);
}

void flight_bound::set(double bytes) {
    limit_ = static_cast<std::size_t>(std::max(bytes, static_cast<double>(limit_min)));
    settling_ = std::max(settling_, windows_of_change);
}

void flight_bound::look(const flight_sample& sample, instant now) {
    if (now < rested_at_ || sample.rtt_min < far) return;
    patience_ = 1;
    if (now - rested_at_ > rest_most) rest_ = rest_least;
    const auto queue = sample.rtt - sample.rtt_min;
    if (queue < std::max(sample.rtt_min / onset_part, 2 * allowance(sample))) return;
    free_rate_ = bounded_rate_ = rate_;
    grown_rate_ = 0;
    probed_from_.reset();
    probe_patience_ = 1;
    probe_at_ = now + probe_interval(sample);
    set(rate_ * in_seconds(sample.rtt_min + allowance(sample)));
}

void flight_bound::follow(const flight_sample& sample, instant now) {
    // While the congestion control allows less, as BBR does when it looks for the least round trip,
    // and until the path is full again after it, nothing tells of the bound.
    if (sample.window_bytes < *limit_ || now > late_) {
        if (probed_from_) {
            limit_ = *std::exchange(probed_from_, {});
            probe_at_ = now + probe_interval(sample);
        }
        settling_ = windows_of_pause;
        return;
    }
    if (probed_from_) return follow_probe(sample, now);
    if (settling_ > 0) {
        --settling_;
        return;
    }
    if (held_ && now >= probe_at_) return begin_probe();
    bounded_rate_ += (rate_ - bounded_rate_) / 4;
    if (bounded_rate_ < too_slow * free_rate_) {
        // The path is slower now, others share it, or the queue was of use: for bursts, for
        // example.
        patience_ *= 2;
        if (patience_ > patience_most) return give_up(now);
        probe_patience_ = 1;
        probe_at_ = std::min(probe_at_, now + probe_interval(sample));
        bounded_rate_ = free_rate_;
        return set(free_rate_ * in_seconds(sample.rtt_min + allowance(sample)));
    }
    const auto queue = sample.rtt - sample.rtt_min;
    const auto allowed = allowance(sample);
    const auto limit = static_cast<double>(*limit_);
    if (queue < allowed / 2 && held_) {
        // By much as long as that carries more: the bound was set while little was carried.
        const bool climbs = rate_ > climbs_by * grown_rate_;
        grown_rate_ = rate_;
        set(climbs ? wider * limit : limit + rate_ * in_seconds(allowed / 4));
    } else if (queue > allowed + allowed / 2) {
        set(std::max(narrower * limit, rate_ * in_seconds(sample.rtt_min + allowed / 2)));
    }
}

duration flight_bound::probe_interval(const flight_sample& sample) const {
    const auto least = std::max<duration>(probe_min, probe_rtts * sample.rtt_min);
    return std::min(probe_patience_ * least, std::max<duration>(least, probe_max));
}

void flight_bound::begin_probe() {
    probed_from_ = limit_;
    // After a pause a window may have carried less than the bound lets through.
    probed_rate_ = std::max(rate_, bounded_rate_);
    set(tried * static_cast<double>(*limit_));
}

/// What is more in flight for one window is carried in the next, if it is.
void flight_bound::follow_probe(const flight_sample& sample, instant now) {
    if (settling_ > 0) {
        settling_ = 0;
        limit_ = probed_from_;
        return;
    }
    const auto before = static_cast<double>(*std::exchange(probed_from_, {}));
    const bool worth = rate_ >= worth_more * probed_rate_;
    probe_patience_ = worth ? 1 : std::min(2 * probe_patience_, probe_patience_max);
    probe_at_ = now + probe_interval(sample);
    if (!worth) {
        patience_ = std::max(1, patience_ / 2);
        return set(before);
    }
    free_rate_ = bounded_rate_ = std::max(free_rate_, rate_);
    set(tried * before);
    begin_probe();
}

/// Where nothing but the congestion control holds anything up, and still no queue stands, it has
/// not found what the path carries. Where more cannot be had so, it is left alone longer each time.
void flight_bound::watch_climb(const flight_sample& sample, instant now) {
    const bool queue = sample.rtt - sample.rtt_min > sample.rtt_min / onset_part;
    if (sample.rtt_min < far || queue || (limit_ && held_)) {
        climb_begun_.reset();
    } else if (!climb_begun_) {
        climb_begun_ = now;
        climb_rate_ = rate_;
    } else if (now - *climb_begun_ >= climb_patience_ * climb_rtts * sample.rtt_min) {
        climb_begun_.reset();
        if (rate_ > climb_most * climb_rate_) return;
        restart_ = true;
        const bool helped = rate_ > wider * restart_rate_;
        climb_patience_ = helped ? 1 : std::min(2 * climb_patience_, climb_patience_max);
        restart_rate_ = std::max(rate_, restart_rate_);
    }
}

void flight_bound::give_up(instant now) {
    limit_.reset();
    rested_at_ = now + rest_;
    rest_ = std::min(rest_most, 2 * rest_);
}

} // namespace muxsocks
