#include "protocol/keepalive.hpp"

#include <utility>

namespace muxsocks {

void keepalive::on_link(instant now) {
    on_bytes(now);
    awaiting_ = false;
    ping_due_ = false;
    asks_only_ = false;
}

void keepalive::on_bulk(instant now) {
    if (now - sent_ >= sample_interval && !awaiting_) probe();
}

bool keepalive::on_pong(std::uint64_t token, instant now) {
    if (!awaiting_ || token != token_) return false;
    awaiting_ = false;
    const auto sample = now - sent_;
    rtt_ = sampled_ ? rtt_ + (sample - rtt_) / 8 : sample;
    sampled_ = true;
    return true;
}

void keepalive::update(instant now) {
    if (probing_ || now < heard_ + settings_.interval) return;
    // The time-out runs from here, not from the PING's way out: a link that takes no bytes is as
    // dead as one that gives none.
    probe();
    probing_ = true;
    probed_ = now;
}

void keepalive::on_path(instant received, instant arrived) {
    if (received > heard_) {
        heard_ = received;
        if (received > probed_) probing_ = false;
    }
    if (probing_ && arrived > probed_) probed_ = arrived;
}

std::uint64_t keepalive::on_ping_sent(instant now) {
    ping_due_ = false;
    awaiting_ = true;
    sent_ = now;
    if (!std::exchange(asks_only_, false) && !probing_) {
        probing_ = true;
        probed_ = now;
    }
    return ++token_;
}

} // namespace muxsocks
