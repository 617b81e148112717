#include "protocol/link_demand.hpp"

#include <algorithm>

namespace muxsocks {

void link_demand::need(unsigned links, instant now) {
    for (unsigned count = 2; count <= std::min(links, max_); ++count)
        needed_until_[count] = now + lasts;
}

unsigned link_demand::wanted(instant now) const {
    unsigned count = std::max(1U, max_);
    while (count > 1 && now >= needed_until_[count])
        --count;
    return count;
}

bool link_demand::dial_due(unsigned usable, unsigned standing, instant now) const {
    // One that is doubted may be replaced before it is given up, where only one is.
    return usable > 0 && usable < wanted(now) && standing <= max_ && !dialling_ &&
           now >= dial_time();
}

instant link_demand::dial_time() const {
    return std::max(not_before_, dials_paid_until_ - (dials_at_once - 1) * dial_every);
}

void link_demand::on_dial(instant now) {
    dialling_ = true;
    dials_paid_until_ = std::max(now, dials_paid_until_) + dial_every;
}

void link_demand::on_dial_ended(dial_end how, instant now) {
    dialling_ = false;
    if (how == dial_end::joined) {
        retry_ = {};
        return;
    }
    const auto least = how == dial_end::elsewhere ? elsewhere_min : retry_min;
    retry_ = std::clamp(2 * retry_, least, retry_max);
    not_before_ = now + retry_;
}

std::optional<instant> link_demand::deadline(unsigned usable, unsigned standing,
                                             instant now) const {
    std::optional<instant> next;
    if (const auto count = wanted(now); count > 1) next = needed_until_[count];
    // Whether it is due but for the time.
    const auto at = std::max(now, dial_time());
    if (at > now && dial_due(usable, standing, at)) next = next ? std::min(*next, at) : at;
    return next;
}

} // namespace muxsocks
