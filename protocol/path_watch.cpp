#include "protocol/path_watch.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

constexpr duration half_of_rate = std::chrono::seconds(30);

} // namespace

void path_watch::update(std::span<const link_facts> links, instant now) {
    std::erase_if(seen_, [&](const seen& one) {
        return std::none_of(links.begin(), links.end(),
                            [&](const link_facts& link) { return link.number == one.number; });
    });
    std::uint64_t rate = 0;
    rtt_min_ = {};
    for (const auto& link : links) {
        look_at_loss(link, now);
        rate += link.sent_bytes_per_second;
        if (link.rtt_min > duration::zero() &&
            (rtt_min_ == duration::zero() || link.rtt_min < rtt_min_))
            rtt_min_ = link.rtt_min;
    }
    if (now - best_since_ >= half_of_rate) {
        const bool long_ago = now - best_since_ >= 2 * half_of_rate;
        best_before_ = long_ago ? 0 : best_;
        best_ = 0;
        best_since_ = now;
    }
    best_ = std::max(best_, rate);
}

void path_watch::look_at_loss(const link_facts& link, instant now) {
    auto& before = remember(link.number);
    const bool retransmitted = link.retransmits > before.retransmits;
    const bool overtaken = link.out_of_order > before.out_of_order;
    before.retransmits = link.retransmits;
    before.out_of_order = link.out_of_order;
    if (retransmitted) {
        retransmits_until_ = now + loss_lasts;
        if (!link.bbr && !queue_stands(link)) thin_until_ = now + thin_lasts;
    }
    if (retransmitted || overtaken) loses_until_ = now + loss_lasts;
}

/// A link that is new has lost what it has lost since it began: its handshake may have told.
path_watch::seen& path_watch::remember(link_number number) {
    const auto found = std::find_if(seen_.begin(), seen_.end(),
                                    [&](const seen& one) { return one.number == number; });
    if (found != seen_.end()) return *found;
    seen_.push_back({number, 0, 0});
    return seen_.back();
}

} // namespace muxsocks
