// A session as a value, and again as a session (state.hpp).

#include "protocol/session/session.hpp"
#include "protocol/session/state.hpp"

#include <algorithm>
#include <cassert>
#include <unordered_map>

namespace muxsocks {
namespace {

/// In the order of the format: what is added later is added at the end.
constexpr std::uint64_t session_statistics::*counters[] = {
    &session_statistics::streams_opened,
    &session_statistics::bytes_sent,
    &session_statistics::bytes_received,
    &session_statistics::half_closes,
    &session_statistics::resets_sent,
    &session_statistics::resets_received,
    &session_statistics::windows_dry,
    &session_statistics::windows_grown,
    &session_statistics::shed,
    &session_statistics::refused,
    &session_statistics::kept_full,
    &session_statistics::sent_again,
    &session_statistics::sent_twice,
    &session_statistics::repeated,
    &session_statistics::pieces,
    &session_statistics::ids_missing,
    &session_statistics::links,
    &session_statistics::links_lost,
    &session_statistics::links_doubted,
    &session_statistics::links_dropped_by_peer,
    &session_statistics::detached,
    &session_statistics::frames_acked,
    &session_statistics::frames_received,
};

std::uint8_t end_code(const std::error_code& why) {
    if (!why) return stream_state::end_none;
    if (why == errc::going_away) return stream_state::end_going_away;
    if (why == errc::stream_timeout) return stream_state::end_timeout;
    for (std::uint32_t code = 1; code <= static_cast<std::uint32_t>(reset_code::denied); ++code)
        if (why == error_of(static_cast<reset_code>(code))) return static_cast<std::uint8_t>(code);
    return stream_state::end_other;
}

std::error_code end_of(std::uint8_t code) {
    if (code == stream_state::end_none) return {};
    if (code == stream_state::end_going_away) return errc::going_away;
    if (code == stream_state::end_timeout) return errc::stream_timeout;
    return error_of(static_cast<reset_code>(code));
}

stream_state state_of(const stream& s) {
    stream_state t;
    t.id = s.id;
    t.fin_wanted = s.fin_wanted;
    t.fin_sent = s.fin_sent;
    t.rst_wanted = s.rst_wanted;
    t.rst_waits = s.rst_waits;
    t.own_last = s.own_last;
    t.bulk = s.bulk;
    t.fin_received = s.fin_received;
    t.owned = !s.released;
    t.closed = s.closed;
    t.discarding = s.discarding;
    t.request_done = s.request_done;
    t.connected = s.connected;
    t.credited = s.credit_link != stream::no_link || s.credit_listed;
    t.rst_code = static_cast<std::uint32_t>(s.rst_code);
    t.end = end_code(s.end);
    t.sent = s.send.sent();
    t.limit = s.send.limit();
    t.received = s.recv.received();
    t.consumed = s.recv.consumed();
    t.announced = s.recv.announced();
    t.window = s.recv.window();
    t.top = s.top;
    if (s.ends_at_top) t.final_size = s.top;
    t.own = s.own.copy();
    t.unread = s.unread.copy();
    s.beyond.for_each([&t](std::uint64_t offset, const pieces::bytes& piece) {
        t.beyond.push_back({offset, piece});
    });
    return t;
}

} // namespace

session_settings settings_for(session_settings now, const session_state& state) {
    now.side = state.side;
    now.unasked_window = state.own_window;
    now.initial_window = std::max(now.initial_window, state.own_window);
    now.stream_window_max = std::max<std::uint64_t>(now.stream_window_max, state.own_window);
    now.max_streams = state.own_max_streams;
    now.channel_binding = state.binds;
    now.first_frame_seen = true;
    return now;
}

bool session::may_be_saved() const {
    return state_ == state::open && resumable() && !turn_.open() && batch_.idle() &&
           notices_.empty();
}

session_state session::save(instant now,
                            const std::function<void(stream&, stream_state&)>& add_owner) {
    assert(may_be_saved());
    session_state to;
    to.side = settings_.side;
    to.id = id();
    to.secret = proofs_.secret();
    to.binds = settings_.channel_binding;
    to.own_window = settings_.unasked_window;
    to.own_max_streams = settings_.max_streams;
    to.agreed = agreed();
    to.next_link = links_.next_number();
    to.highest_link = links_.used.highest();
    to.used_links = links_.used.below();
    to.drops.assign(links_.drops().begin(), links_.drops().end());
    for (const auto& l : links_)
        to.drops.push_back({l->number, l->brought.frames()});
    to.next_id = ids_.next();
    to.highest_id = ids_.highest();
    to.missing.assign(ids_.missing_runs().begin(), ids_.missing_runs().end());
    to.refusals.assign(waiting_.refusals.begin(), waiting_.refusals.end());
    to.goaway = goaway_;
    to.goaway_due = goaway_due_;
    to.goaway_received = goaway_received_;
    to.peer_text = peer_text_;
    for (const auto bucket : flood_.all())
        to.flood_levels.push_back(bucket->level(now));
    for (const auto counter : counters)
        to.counted.push_back(statistics_.*counter);
    save_kept(to);
    const auto add = [&](stream& s) {
        to.streams.push_back(state_of(s));
        if (!s.released && add_owner) add_owner(s, to.streams.back());
    };
    for (auto s = waiting_.opening.front(); s; s = s->next_ready)
        add(*s);
    streams_.for_each([&add](stream& s) {
        if (!s.dead && s.queued != stream::queue::opening) add(s);
    });
    std::unordered_map<std::uint32_t, std::uint32_t> due;
    attached_.for_each(now, [&due](std::uint32_t of, duration left) {
        due[of] = static_cast<std::uint32_t>(left / std::chrono::milliseconds(1));
    });
    for (auto& each : to.streams)
        if (const auto found = due.find(each.id);
            found != due.end() && each.discarding && !each.closed)
            each.due_ms = found->second;
    return to;
}

std::vector<stream*> session::restore(const session_state& from, instant now) {
    assert(handshake_.at() == handshake::step::start);
    now_ = now;
    proofs_.restore(from.id, from.secret);
    handshake_.restore(from.agreed);
    size_credit_flood();
    links_.restore_next_number(from.next_link);
    links_.used.restore(from.highest_link, from.used_links);
    for (const auto& each : from.drops)
        links_.must_drop(each);
    ids_.restore(from.next_id, from.highest_id, from.missing);
    waiting_.refusals.assign(from.refusals.begin(), from.refusals.end());
    goaway_ = from.goaway;
    goaway_due_ = from.goaway_due;
    goaway_received_ = from.goaway_received;
    peer_text_ = from.peer_text;
    const auto buckets = flood_.all();
    for (std::size_t i = 0; i < std::min(buckets.size(), from.flood_levels.size()); ++i)
        buckets[i]->set_level(from.flood_levels[i], now);
    for (std::size_t i = 0; i < std::min(std::size(counters), from.counted.size()); ++i)
        statistics_.*counters[i] = from.counted[i];

    auto unacked = restore_kept(from);
    std::vector<stream*> restored;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> due;
    for (const auto& each : from.streams) {
        auto& s = restore(each);
        const auto found = unacked.find(s.id);
        if (found != unacked.end() && s.opened() && !s.closed) {
            s.unacked = found->second;
            unacked.erase(found);
        }
        if (each.due_ms) due.emplace_back(*each.due_ms, s.id);
        restored.push_back(&s);
    }
    // What is left was of streams that are closed: they keep their places until it is acknowledged.
    for (const auto& [id, frames] : unacked)
        if (client() && id != 0) ids_.close_later(id, frames);
    std::sort(due.begin(), due.end());
    for (const auto& [left, id] : due)
        attached_.set(id, std::chrono::milliseconds(left), now);
    for (const auto s : restored)
        resume(*s);
    for (const auto s : restored)
        recharge(*s);
    return restored;
}

void session::save_kept(session_state& to) const {
    std::uint64_t next = 0;
    const auto keep = [&](bytes_view frames, link_number link, std::uint64_t first) {
        const bool follows = !to.kept.empty() && to.kept.back().link == link && next == first;
        if (!follows) to.kept.push_back({link, first, {}});
        auto& run = to.kept.back().frames;
        run.insert(run.end(), frames.begin(), frames.end());
        next = first;
        for (; !frames.empty(); ++next)
            frames = frames.subspan(frame_at(frames.data()).size());
    };
    for (const auto& l : links_)
        l->kept.for_each(
            [&](bytes_view frame, std::uint64_t number) { keep(frame, l->number, number); });
    again_.for_each([&](bytes_view frames, const resend_queue::origin& first) {
        keep(frames, first.link, first.frame);
    });
}

std::unordered_map<std::uint32_t, std::uint32_t> session::restore_kept(const session_state& from) {
    std::unordered_map<std::uint32_t, std::uint32_t> unacked;
    chunk_ref chunk;
    std::size_t at = 0;
    for (const auto& run : from.kept) {
        resend_queue::origin of{run.link, run.first};
        for (bytes_view frames = run.frames; !frames.empty(); ++of.frame) {
            const auto frame = frame_at(frames.data());
            frames = frames.subspan(frame.size());
            assert(frame.size() <= settings_.pool->chunk_size());
            if (!chunk || at + frame.size() > settings_.pool->chunk_size()) {
                if (chunk) kept_memory_.forget(chunk);
                chunk = settings_.pool->take();
                kept_memory_.reserve_anyway();
                kept_memory_.keep_reserved(chunk);
                at = 0;
            }
            std::copy(frame.begin(), frame.end(), chunk.data() + at);
            again_.add({chunk, at, at + frame.size(), 1}, of);
            at += frame.size();
            ++unacked[load_u32(frame.data())];
        }
    }
    if (chunk) kept_memory_.forget(chunk);
    return unacked;
}

stream& session::restore(const stream_state& from) {
    auto& s = streams_.make(from.limit, {from.window, from.announced}, now_);
    s.id = from.id;
    s.send.on_sent(from.sent);
    s.recv.restore(from.received, from.consumed, from.announced);
    s.own.append(from.own);
    s.fin_wanted = from.fin_wanted;
    s.fin_sent = from.fin_sent;
    s.rst_wanted = from.rst_wanted;
    s.rst_waits = from.rst_waits;
    s.own_last = from.own_last;
    s.bulk = from.bulk;
    s.rst_code = static_cast<reset_code>(from.rst_code);
    s.unread.append(from.unread);
    for (const auto& each : from.beyond)
        s.beyond.add(each.offset, each.bytes);
    s.top = from.top;
    s.ends_at_top = from.final_size.has_value();
    s.fin_received = from.fin_received;
    s.released = !from.owned;
    s.closed = from.closed;
    s.discarding = from.discarding;
    s.clocked = from.due_ms.has_value();
    s.request_done = from.request_done;
    s.connected = from.connected;
    s.end = end_of(from.end);
    if (s.closed) return s;
    if (s.opened()) {
        streams_.table.insert(s);
    } else {
        s.queued = stream::queue::opening;
        waiting_.opening.push(s);
        ++waiting_.opening_count;
    }
    // Said again: the link that it went by is lost.
    if (from.credited && !s.rst_wanted && !s.ends_at_top) list_credit(s);
    return s;
}

void session::resume(stream& s) {
    memory_.restore(s, now_);
    if (s.closed || !s.opened()) return;
    if (s.rst_wanted) {
        ++waiting_.resetting;
        if (!s.rst_waits || !s.own.empty() || s.unacked == 0) list_reset(s);
        return;
    }
    if (!s.ends_at_top && s.recv.credit_due()) list_credit(s);
    if (s.unacked == 0 && s.discarding) on_all_acked(s);
}

} // namespace muxsocks
