#include "client/segment_limit.hpp"

#include <utility>

namespace muxsocks::client {

std::uint32_t segment_limit::at_dial(instant now) {
    if (now >= until_) {
        step_ = 0;
        until_ = instant::max();
        untold_ = false;
    }
    return bytes();
}

void segment_limit::hold(instant now) {
    until_ = now + hold_;
    hold_ = std::min(hold_max, 2 * hold_);
}

void segment_limit::lower(std::uint32_t seen, instant now) {
    // A local MTU may be below the next step already.
    do {
        if (lowest()) break;
        ++step_;
    } while (seen != 0 && bytes() >= seen);
    untold_ = true;
    hold(now);
}

void segment_limit::on_swallowed(bool certain) {
    ++swallowed_;
    // A stall that called for a limit was a sign, too.
    certain_ = certain_ || certain || untold_;
    // After the lowest without any again: it may have been something else all along.
    step_ = (step_ + 1) % steps.size();
    until_ = instant::max();
    untold_ = false;
}

void segment_limit::on_secured(instant now) {
    const bool helped = std::exchange(swallowed_, 0) > 0 && step_ > 0;
    const bool certain = std::exchange(certain_, false);
    if (step_ == 0) suspected_ = false;
    if (!helped) return;
    if (certain || suspected_) {
        hold(now);
        news_ = true;
    } else {
        until_ = now; // The next link does without, and tells.
        suspected_ = true;
    }
}

void segment_limit::on_progress() {
    if (std::exchange(untold_, false)) news_ = true;
}

std::optional<std::uint32_t> segment_limit::take_news() {
    if (!std::exchange(news_, false)) return {};
    return bytes();
}

} // namespace muxsocks::client
