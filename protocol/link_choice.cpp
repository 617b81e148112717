#include "protocol/link_choice.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

using namespace std::chrono_literals;

/// Below this share of the other's delay a link is worth a change; streams need not be in order on
/// the way, but pieces that overtake others must be kept.
constexpr int quicker_part = 4; // of which three
constexpr duration quicker_least = 1ms;

/// The least that counts as under way when a queue of unsent bytes is told in round trips.
constexpr std::uint64_t window_least = 16 * 1024;

/// Above a quarter of what the path carries the links without bulk are a crowd, below an eighth
/// they are none; and so little never is.
constexpr std::uint64_t crowd_part = 4;
constexpr std::uint64_t no_crowd_part = 8;
constexpr std::uint64_t crowd_least = 128 * 1024;
constexpr duration crowd_interval = 500ms;
constexpr duration crowd_over = 10s;

/// On a line so slow that nothing should go twice, round trips are many times the least.
bool has_room(const link_facts& link) {
    return link.unsent_bytes == 0 && link.rtt <= 4 * link.rtt_min + 5ms;
}

} // namespace

void link_choice::update(facts links, const stream_facts& streams, instant now) {
    path_.update(links, now);
    find_usable(links);
    choose_bulk(streams, now);
    choose_small(streams, now);
    look_at_crowd(streams, now);
    look_at_demand(links, streams, now);
    find_deadline(links, now);
    usable_.clear(); // they point into the caller's facts
}

/// Links that take something new. Where all are avoided, as when the last one that answered is
/// lost, they are better than none.
void link_choice::find_usable(facts links) {
    usable_.clear();
    for (const bool even_avoided : {false, true}) {
        for (const auto& link : links)
            if (!link.joining && !link.leaving && (even_avoided || !link.avoided))
                usable_.push_back(&link);
        if (!usable_.empty()) return;
    }
}

const link_facts* link_choice::usable(link_number number) const {
    const auto found = std::find_if(usable_.begin(), usable_.end(),
                                    [&](const link_facts* link) { return link->number == number; });
    return found == usable_.end() ? nullptr : *found;
}

// ---- Roles.

/// The links for bulk stay what they are as long as they are usable. A new one is neither the one
/// for small frames nor, if there is a third, the one that takes them as well.
void link_choice::choose_bulk(const stream_facts& streams, instant now) {
    std::vector<link_number> chosen;
    for (const auto number : roles_.bulk)
        if (usable(number) != nullptr) chosen.push_back(number);
    const auto rank = [&](const link_facts* link) {
        return link->number == roles_.small ? 2 : link->number == roles_.twice ? 1 : 0;
    };
    auto others = usable_;
    std::stable_sort(others.begin(), others.end(),
                     [&](const link_facts* a, const link_facts* b) { return rank(a) < rank(b); });
    for (const auto* link : others)
        if (std::find(chosen.begin(), chosen.end(), link->number) == chosen.end())
            chosen.push_back(link->number);

    std::size_t count = std::min<std::size_t>(1, chosen.size());
    if (!chosen.empty() && path_.thin(now)) {
        const std::size_t for_others = streams.others > 0 ? 1 : 0;
        const auto most =
            std::max<std::size_t>(1, chosen.size() - std::min(chosen.size(), for_others));
        count = std::clamp<std::size_t>(streams.bulk_out, 1, std::min(most, link_roles::bulk_max));
    }
    roles_.bulk.fill(link_roles::none);
    std::copy_n(chosen.begin(), count, roles_.bulk.begin());
}

void link_choice::choose_small(const stream_facts& streams, instant now) {
    const auto* small = quickest(roles_.small, link_roles::none, true, streams);
    if (small == nullptr) small = quickest(roles_.small, link_roles::none, false, streams);
    roles_.small = small ? small->number : link_roles::none;
    const auto* twice =
        path_.loses(now) ? quickest(roles_.twice, roles_.small, true, streams) : nullptr;
    roles_.twice = twice ? twice->number : link_roles::none;
    twice_floor_ = small && twice && has_room(*small) && has_room(*twice);
}

/// The link with the least delay, but not `but`, and of those that carry no bulk if so wanted. The
/// current one stays unless another one is clearly quicker.
const link_facts* link_choice::quickest(link_number current, link_number but, bool without_bulk,
                                        const stream_facts& streams) const {
    const auto allowed = [&](const link_facts& link) {
        return link.number != but && !(without_bulk && carries_bulk(link, streams));
    };
    const link_facts* best = nullptr;
    for (const auto* link : usable_)
        if (allowed(*link) && (best == nullptr || delay(*link) < delay(*best))) best = link;
    const auto* held = usable(current);
    if (best == nullptr || held == nullptr || !allowed(*held)) return best;
    const auto difference = delay(*held) - delay(*best);
    const bool clearly = difference > quicker_least && difference > delay(*held) / quicker_part;
    return clearly ? best : held;
}

bool link_choice::carries_bulk(const link_facts& link, const stream_facts& streams) const {
    return streams.bulk_out > 0 &&
           std::find(roles_.bulk.begin(), roles_.bulk.end(), link.number) != roles_.bulk.end();
}

/// How long a byte takes that is given to the link now: what is unsent waits for what is under way.
duration link_choice::delay(const link_facts& link) const {
    const auto rtt = link.rtt > duration::zero() ? link.rtt : path_.rtt_min();
    const auto window = std::max(link.in_flight_bytes, window_least);
    return rtt + duration(static_cast<std::int64_t>(static_cast<double>(rtt.count()) *
                                                    static_cast<double>(link.unsent_bytes) /
                                                    static_cast<double>(window)));
}

/// Many streams of which none is bulk may be as much as bulk: twenty videos. The largest ones count
/// as bulk then, the more of them the longer the others' links are crowded.
void link_choice::look_at_crowd(const stream_facts& streams, instant now) {
    std::uint64_t rate = 0;
    bool over_bound = false;
    for (const auto* link : usable_) {
        if (carries_bulk(*link, streams)) continue;
        rate += link->sent_bytes_per_second;
        over_bound = over_bound || (link->bound_bytes > 0 &&
                                    link->unsent_bytes + link->in_flight_bytes > link->bound_bytes);
    }
    const auto all = path_.bytes_per_second();
    const bool much = usable_.size() > 1 && streams.others > 1 && rate >= crowd_least;
    if (much && rate > all / no_crowd_part) crowd_seen_ = now;
    const bool crowded = much && (rate > all / crowd_part || over_bound);
    if (crowded && now - bulk_bytes_changed_ >= crowd_interval) {
        bulk_bytes_ = std::max(bulk_bytes_min, bulk_bytes_ / 2);
        bulk_bytes_changed_ = now;
    } else if (bulk_bytes_ < bulk_meter::usual_bytes &&
               now - std::max(crowd_seen_, bulk_bytes_changed_) >= crowd_over) {
        bulk_bytes_ *= 2;
        bulk_bytes_changed_ = now;
    }
}

std::uint64_t link_choice::twice_bytes_per_second() const {
    if (roles_.twice == link_roles::none) return 0;
    return std::max(path_.bytes_per_second() / twice_part,
                    twice_floor_ ? twice_least : std::uint64_t{0});
}

// ---- How many.

void link_choice::look_at_demand(facts links, const stream_facts& streams, instant now) {
    const bool bulk = streams.bulk_out + streams.bulk_in > 0;
    const bool apart = bulk && streams.others > 0 && path_.rtt_min() > link_demand::near;
    const bool spread = streams.bulk_out > 1 && path_.thin(now);
    if (apart) demand_.need(path_.loses(now) ? 3 : 2, now);
    if (spread) demand_.need(std::min(streams.bulk_out, 3U), now);

    to_close_.reset();
    if (!demand_.dials()) return;
    const auto count = static_cast<unsigned>(usable_.size());
    dial_due_ = demand_.dial_due(count, static_cast<unsigned>(links.size()), now);
    if (links.size() != usable_.size() || count <= demand_.wanted(now)) return;
    // The one that carries the least goes; of those that carry nothing, the slowest.
    const auto worth = [&](const link_facts* link) {
        return std::pair(link->sent_bytes_per_second + link->received_bytes_per_second,
                         -delay(*link));
    };
    const auto* least = *std::min_element(
        usable_.begin(), usable_.end(),
        [&](const link_facts* a, const link_facts* b) { return worth(a) < worth(b); });
    to_close_ = least->number;
}

void link_choice::find_deadline(facts links, instant now) {
    deadline_ = demand_.deadline(static_cast<unsigned>(usable_.size()),
                                 static_cast<unsigned>(links.size()), now);
}

} // namespace muxsocks
