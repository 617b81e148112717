#include "protocol/session/bulk_watch.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {

stream_facts bulk_watch::look(const stream_table& streams, instant now, std::uint32_t bulk_bytes,
                              std::vector<stream*>& changed) {
    stream_facts facts;
    std::uint32_t bulk = 0;
    std::erase_if(metered_, [&](metered& one) {
        const auto s = streams.find(one.id);
        if (!s) return true;
        const bool was = s->bulk;
        const bool stays = meter(one, *s, now, bulk_bytes);
        if (was != s->bulk) changed.push_back(s);
        if (one.out.bulk()) ++facts.bulk_out;
        if (one.in.bulk()) ++facts.bulk_in;
        if (one.out.bulk() || one.in.bulk()) ++bulk;
        return !stays;
    });
    streams.for_each([&](stream& s) {
        const auto moved = s.moved_out() + s.moved_in();
        const auto before = std::exchange(s.moved_at_look, moved);
        // One that has come with a session from another process may be bulk without a meter.
        if (s.metered || (!s.bulk && moved - before < worth_bytes && !waits(s))) return;
        begin(s, now);
    });
    facts.others = static_cast<std::uint32_t>(streams.size()) - bulk;
    return facts;
}

bulk_watch::metered& bulk_watch::begin(stream& s, instant now) {
    s.metered = true;
    metered_.push_back({s.id, s.moved_out(), s.moved_in(), {}, {}});
    metered_.back().out.on_moved(0, now);
    metered_.back().out.on_waiting(waits(s), now);
    return metered_.back();
}

void bulk_watch::on_surge(stream& s, instant now) {
    const auto found = std::find_if(metered_.begin(), metered_.end(),
                                    [&](const metered& one) { return one.id == s.id; });
    auto& one = found != metered_.end() ? *found : begin(s, now);
    one.out.on_surge(now);
    s.bulk = true;
}

bool bulk_watch::meter(metered& one, stream& s, instant now, std::uint32_t bulk_bytes) {
    const auto sent = s.moved_out() - std::exchange(one.sent, s.moved_out());
    const auto received = s.moved_in() - std::exchange(one.received, s.moved_in());
    one.out.on_moved(sent, now);
    one.in.on_moved(received, now);
    s.bulk = one.out.update(now, bulk_bytes);
    one.in.update(now, bulk_bytes);
    one.out.on_waiting(waits(s), now);
    s.metered = s.bulk || one.in.bulk() || waits(s) ||
                one.out.moved_bytes() + one.in.moved_bytes() >= worth_bytes;
    return s.metered;
}

} // namespace muxsocks
