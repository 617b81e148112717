#include "protocol/link/link_steering.hpp"

#include <algorithm>

namespace muxsocks {
namespace {

/// Over how long a rate is measured.
constexpr std::chrono::seconds rate_time{1};
/// The programs themselves may take so long to answer.
constexpr std::chrono::milliseconds proxy_margin{20};

std::uint64_t per_second(std::uint64_t bytes, duration time) {
    return static_cast<std::uint64_t>(static_cast<double>(bytes) /
                                      std::chrono::duration<double>(time).count());
}

} // namespace

void link_steering::complete(link_facts& facts, const link& on, instant now) {
    const auto path = on.path();
    auto& measured = measure(facts.number, path, now);
    const auto answer = facts.rtt;
    if (answer > duration::zero() &&
        (measured.answer_min == duration::zero() || answer < measured.answer_min))
        measured.answer_min = answer;
    // TCP knows the path best, unless a proxy ends it on the way: PINGs go all the way.
    const bool ends_here = measured.answer_min <= 2 * path.rtt_min + proxy_margin;
    facts.rtt = ends_here && path.rtt > duration::zero() ? path.rtt : answer;
    facts.rtt_min = ends_here ? path.rtt_min : measured.answer_min;
    facts.bbr = on.has_bbr();
    facts.unsent_bytes = path.unsent_bytes + on.output_size();
    facts.in_flight_bytes = path.in_flight_bytes();
    facts.bound_bytes = on.bound_bytes();
    facts.retransmits = path.retransmits;
    facts.out_of_order = path.out_of_order;
    facts.sent_bytes_per_second = measured.sent_per_second;
    facts.received_bytes_per_second = measured.received_per_second;
}

link_steering::rates& link_steering::measure(link_number number, const path_facts& path,
                                             instant now) {
    const auto found = std::find_if(rates_.begin(), rates_.end(),
                                    [&](const rates& each) { return each.number == number; });
    if (found == rates_.end()) {
        rates_.push_back({number, now, path.acked_bytes, path.received_bytes});
        return rates_.back();
    }
    const auto passed = now - found->since;
    if (passed < rate_time) return *found;
    found->sent_per_second = per_second(path.acked_bytes - found->sent, passed);
    found->received_per_second = per_second(path.received_bytes - found->received, passed);
    found->sent = path.acked_bytes;
    found->received = path.received_bytes;
    found->since = now;
    return *found;
}

void link_steering::forget_gone() {
    std::erase_if(rates_, [this](const rates& each) {
        return std::none_of(facts_.begin(), facts_.end(),
                            [&](const link_facts& link) { return link.number == each.number; });
    });
}

stream_facts link_steering::decide(session& core, instant now) {
    const auto streams = core.look_at_streams(choice_.bulk_bytes(), now);
    choice_.update(facts_, streams, now);
    core.set_roles(choice_.roles());
    core.set_twice(choice_.twice_bytes_per_second());
    return streams;
}

bool link_steering::is_for_small(const link_facts& link, const stream_facts& streams) const {
    const auto& roles = choice_.roles();
    if (!link.bbr || link.rtt_min < flight_bound::far) return false;
    if (link.number != roles.small && link.number != roles.twice) return false;
    return streams.bulk_out == 0 || std::ranges::find(roles.bulk, link.number) == roles.bulk.end();
}

} // namespace muxsocks
