#include "protocol/session/datagrams.hpp"

#include "protocol/session/session.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {

bool datagrams::agreed() const { return session_.agreed().datagrams; }

// ---- Out

void datagrams::on_readable(stream& s) {
    if (!agreed() || s.closed || s.rst_wanted) return;
    s.datagrams = true;
    list(s);
}

void datagrams::list(stream& s) {
    if (!s.datagrams || s.datagrams_listed || s.closed || s.rst_wanted || !s.opened()) return;
    const auto l = session_.home(s);
    if (!l || !l->up()) return; // session::on_links_changed() comes back to it.
    if (s.round != l->ready.round()) {
        s.round = l->ready.round();
        s.round_bytes = 0;
    }
    s.datagrams_listed = true;
    session_.pacing_.on_readable();
    l->datagrams.add(s.id, s.round_bytes < datagram_queue::quantum);
    if (!session_.turn_.open()) session_.wake();
}

bool datagrams::has_turn(const link_state& l) const {
    if (!l.up() || l.datagrams.empty() || !session_.flows(l)) return false;
    if (!session_.pacing_.may_read()) return false;
    return l.datagrams.has_turn(l.ready.round(), !l.ready.empty() && !l.blocked);
}

stream* datagrams::find(std::uint32_t id) const {
    const auto s = session_.streams_.table.find(id);
    return s && s->datagrams && !s->released && !s->rst_wanted ? s : nullptr;
}

bool datagrams::begin_turn(link_state& l, std::size_t size) {
    // A turn without a frame would be no answer to whoever else waits.
    l.datagrams.pass_over([this](std::uint32_t id) { return find(id) == nullptr; });
    if (!l.outbox.empty() || !has_turn(l)) return false;
    // What is kept and what is not are not laid into one chunk: this one is free at once.
    session_.turn_.open_for_datagrams(l, l.kept.open(false, false));
    turn_end_ = size;
    session_.lay_control(l);
    return true;
}

std::optional<datagram_slot> datagrams::next() {
    auto& turn = session_.turn_;
    if (!turn.for_datagrams() || session_.closed()) return {};
    auto& l = *turn.link();
    const auto needed = std::min(frame_max, session_.settings_.pool->chunk_size() / 2);
    while (turn.laid() < turn_end_ && turn.room() >= needed && session_.pacing_.may_read()) {
        const auto taken = l.datagrams.next(l.ready.round(), !l.ready.empty() && !l.blocked);
        if (!taken) break;
        const auto s = find(taken->id);
        if (!s) continue;
        s->datagrams_listed = false;
        if (!taken->fresh) s->round_bytes = 0;
        const auto head = frame_header_size + 1;
        return datagram_slot{
            s, {turn.here(head), std::min(turn.room() - head, frame_payload_limit - 1)}};
    }
    return {};
}

void datagrams::on_read(const datagram_slot& slot, std::size_t bytes, bool more) {
    auto& s = *slot.subject;
    auto& turn = session_.turn_;
    assert(bytes <= slot.place.size());
    if (bytes > 0) {
        *turn.here(frame_header_size) = static_cast<std::uint8_t>(control_type::datagram);
        turn.skip({s.id, flag::ctrl, static_cast<std::uint16_t>(bytes + 1)});
        s.round_bytes += static_cast<std::uint32_t>(bytes);
        s.datagrams_out += bytes;
        turn.link()->rate.on_moved(bytes);
        ++session_.statistics_.datagrams_sent;
        session_.statistics_.datagram_bytes_sent += bytes;
        session_.pacing_.on_read(bytes);
        // From the next one on it goes by the link for bulk.
        if (s.surge.on_moved(static_cast<std::uint32_t>(bytes), session_.now_))
            session_.on_surge(s);
    }
    s.datagrams = more;
    list(s);
}

// ---- In

void datagrams::on_frame(std::uint32_t id, bytes_view payload) {
    const auto s = session_.streams_.table.find(id);
    const bool wanted = s && !s->released && !s->rst_wanted && !s->discarding && payload.size() > 1;
    if (!wanted || !session_.flood_.datagrams.take(session_.now_) ||
        !session_.pacing_.take_datagram(payload.size() - 1)) {
        ++session_.statistics_.datagrams_ignored;
        return;
    }
    ++session_.statistics_.datagrams_received;
    session_.statistics_.datagram_bytes_received += payload.size() - 1;
    s->datagrams_in += payload.size() - 1;
    session_.emit(event::kind::datagram, s, {}, static_cast<link_number>(received_.size()));
    received_.push_back(payload.subspan(1));
}

bytes_view datagrams::received(const event& of) const {
    return of.link < received_.size() ? received_[of.link] : bytes_view{};
}

} // namespace muxsocks
