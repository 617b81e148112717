#include "protocol/standing_queue.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

using namespace std::chrono_literals;

constexpr duration window_min = 50ms;
constexpr int window_rtts = 4; ///< The kernel's smoothed round-trip time follows in that many.
constexpr duration shared_for = 5s;
constexpr duration known_for = 1s;

constexpr duration allowance_min = 500us;
constexpr double allowance_bytes = 12 * 1024; ///< Some packets, whatever they take.
constexpr int allowance_rtt_part = 8;
constexpr int patience_max = 32;
constexpr double slower = 0.95;
constexpr double limit_min = 16 * 1024;

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

} // namespace

void standing_queue::on_sample(const path_sample& sample, instant now) {
    if (std::exchange(small_message_, false)) shared_until_ = now + shared_for;
    if (window_begun_) {
        const auto bytes = sample.delivered_bytes - window_delivered_;
        look(static_cast<double>(bytes) / seconds(now - *window_begun_), sample, now);
        known_until_ = now + known_for;
    } else if (now >= known_until_) {
        unsent_ = unsent_max; // The path keeps up with what there is to send.
    }
    begin_window(sample, now);
}

void standing_queue::begin_window(const path_sample& sample, instant now) {
    window_begun_ = now;
    window_end_ = now + std::max(window_min, window_rtts * sample.rtt);
    window_delivered_ = sample.delivered_bytes;
}

void standing_queue::look(double rate, const path_sample& sample, instant now) {
    unsent_ = static_cast<std::size_t>(
        std::clamp(unsent_max * (rate / static_cast<double>(fast_bytes_per_second)),
                   static_cast<double>(unsent_min), static_cast<double>(unsent_max)));
    const bool shared = shared_until_ && now < *shared_until_;
    if (limit_) {
        if (shared) return judge(rate, sample, now);
        rest_ = rest_min;
        return limit_.reset();
    }
    if (!shared || now < rested_at_ || rate >= static_cast<double>(fast_bytes_per_second)) return;
    if (sample.rtt - sample.rtt_min < allowance(rate, sample.rtt_min)) return;
    free_rate_ = rate;
    patience_ = 1;
    bound(rate, sample, now);
}

duration standing_queue::allowance(double rate, duration rtt_min) const {
    const duration packets(static_cast<std::int64_t>(1e9 * allowance_bytes / (rate + 1)));
    return patience_ * std::max({allowance_min, packets, rtt_min / allowance_rtt_part});
}

void standing_queue::bound(double rate, const path_sample& sample, instant now) {
    const auto wanted = rate * seconds(sample.rtt_min + allowance(rate, sample.rtt_min));
    if (wanted > static_cast<double>(limit_max_)) return give_up(now);
    limit_ = static_cast<std::size_t>(std::max(wanted, limit_min));
    bounded_rate_ = free_rate_;
    settling_ = true;
}

void standing_queue::give_up(instant now) {
    limit_.reset();
    rested_at_ = now + rest_;
    rest_ = std::min(rest_max, 2 * rest_);
}

void standing_queue::judge(double rate, const path_sample& sample, instant now) {
    if (std::exchange(settling_, false)) return;
    bounded_rate_ += (rate - bounded_rate_) / 4;
    if (bounded_rate_ >= slower * free_rate_) return follow(rate, sample);
    // The path is slower now, others share it, or the queue was of use: for bursts, for example.
    patience_ *= 2;
    if (patience_ > patience_max) return give_up(now);
    bound(free_rate_, sample, now);
}

void standing_queue::follow(double rate, const path_sample& sample) {
    const auto queue = sample.rtt - sample.rtt_min;
    const auto allowed = allowance(rate, sample.rtt_min);
    auto limit = static_cast<double>(*limit_);
    if (queue < allowed / 2)
        limit *= 1.2;
    else if (queue > allowed + allowed / 4)
        limit = std::max(0.9 * limit, rate * seconds(sample.rtt_min + allowed / 2));
    limit_ = static_cast<std::size_t>(
        std::clamp(limit, limit_min, std::max(limit_min, static_cast<double>(limit_max_))));
}

} // namespace muxsocks
