#include "tests/session_sim/endpoint.hpp"

#include "protocol/session/state.hpp"

#include <algorithm>

namespace muxsocks::session_sim {

link_end& endpoint::add(link_number number, pipe& out, pipe& in,
                        std::vector<std::uint8_t> unparsed) {
    auto& added = links.emplace_back();
    added.number = number;
    added.out = &out;
    added.in = &in;
    added.inbox = std::move(unparsed);
    added.unparsed = !added.inbox.empty();
    return added;
}

link_end* endpoint::find(link_number number) {
    for (auto& each : links)
        if (each.number == number) return &each;
    return nullptr;
}

link_end* endpoint::end_of(const pipe& out) {
    for (auto& each : links)
        if (each.out == &out || each.in == &out) return &each;
    return nullptr;
}

void endpoint::forget(link_number number) {
    std::erase_if(links, [&](const link_end& each) { return each.number == number; });
}

void endpoint::lose(link_number number, instant now) {
    forget(number);
    core().on_link_lost(number, errc::link_lost, now);
    settle();
}

void endpoint::hand_over(bool fails, instant now) {
    const auto state =
        core_->save(now, [this](stream& s, stream_state& to) { to.owner = user_.owner_of(s); });
    if (fails) return;
    const auto bytes = encode(state, settings_.crypto);
    links.clear();
    core_.reset();
    std::error_code why;
    const auto taken = decode_state(bytes, settings_.crypto, why);
    require(taken.has_value(), "a session does not know its own state");
    require(encode(*taken, settings_.crypto) == bytes, "a state is not the same when it is read");
    core_ = std::make_unique<session>(settings_for(settings_, *taken), now);
    const auto streams = core_->restore(*taken, now);
    for (std::size_t i = 0; i < streams.size(); ++i)
        if (taken->streams[i].owned) user_.adopt(*core_, *streams[i], taken->streams[i].owner);
}

bool endpoint::receive(link_number number, std::size_t bytes_max, instant now) {
    const auto on = find(number);
    if (!on || core().reading_paused()) return false;
    const auto fresh = on->in->read(on->inbox, bytes_max, now);
    if (fresh == 0 && !on->unparsed) return false;
    on->unparsed = false;
    // In memory of its own, which is gone afterwards: a view that outlives its batch is found.
    const auto batch = on->inbox;
    const auto used = core().on_bytes(number, batch, now);
    require(used <= batch.size(), "a session took more bytes than there were");
    require(batch.size() - used < frame_header_size + frame_payload_limit,
            "a session left a whole frame untaken");
    settle();
    if (const auto still = find(number))
        still->inbox.erase(still->inbox.begin(),
                           still->inbox.begin() + static_cast<std::ptrdiff_t>(used));
    return true;
}

void endpoint::dispatch() {
    while (const auto what = core().next_event()) {
        if (what->type == event::kind::link_down || what->type == event::kind::join_failed) {
            if (const auto over = find(what->link)) {
                if (on_link_over) on_link_over(*over, *what);
                forget(what->link);
            }
        }
        user_.on_event(*what);
    }
}

void endpoint::settle() {
    dispatch();
    core().end_batch();
    // The end of a batch may shed streams.
    dispatch();
}

bool endpoint::send(link_number number, std::size_t bytes_max, instant now) {
    bool anything = false;
    for (auto on = find(number); on && core().wants_turn(number) && on->laid_bytes < output_max;
         on = find(number)) {
        lay_turn(*on, now);
        settle();
        anything = true;
    }
    const auto on = find(number);
    while (on && !on->laid.empty() && bytes_max > 0) {
        auto& oldest = on->laid.front();
        const auto taken =
            on->out->write(oldest.bytes.first(std::min(bytes_max, oldest.bytes.size())), now);
        if (taken == 0) break;
        anything = true;
        bytes_max -= taken;
        on->laid_bytes -= taken;
        oldest.bytes = oldest.bytes.subspan(taken);
        if (oldest.bytes.empty()) on->laid.pop_front();
    }
    return anything;
}

void endpoint::lay_turn(link_end& on, instant now) {
    core().begin_turn(on.number, now);
    bool vain_read = false;
    while (const auto slot = core().datagrams_lane().next()) {
        const auto [bytes, more] = user_.read_datagram(*slot);
        vain_read |= bytes == 0;
        core().datagrams_lane().on_read(*slot, bytes, more);
    }
    while (const auto slot = core().next_read()) {
        const auto result = user_.read(*slot);
        vain_read |= result.bytes == 0;
        core().on_read(*slot, result.bytes, result.outcome);
    }
    link_end::laid_turn turn;
    turn.bytes = core().end_turn(turn.keep);
    if (turn.bytes.empty()) {
        // A socket that gives nothing may have been reset meanwhile, which is for the next turn.
        require(vain_read || !core().wants_turn(on.number), "an empty turn, and yet wants_turn()");
        return;
    }
    require(static_cast<bool>(turn.keep), "a turn's bytes are kept by nobody");
    on.laid_bytes += turn.bytes.size();
    on.laid.push_back(std::move(turn));
}

bool endpoint::time_out(instant now) {
    const auto due = core().deadline();
    if (!due || *due > now) return false;
    core().on_deadline(now);
    settle();
    const auto next = core().deadline();
    require(!next || *next > now, "a deadline was handled and is still due");
    return true;
}

} // namespace muxsocks::session_sim
