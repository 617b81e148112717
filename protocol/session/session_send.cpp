// What may leave: who waits for which link.

#include "protocol/session/session.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {
namespace {

constexpr duration blocked_retry = std::chrono::milliseconds(50);

} // namespace

bool session::flows(const link_state& l) const {
    if (!handshake_.streams_flow() || state_ == state::closed) return false;
    return l.up() || l.laid_bytes + link_state::joining_room_min <= link_state::joining_bytes_max;
}

bool session::may_open() const {
    return !waiting_.opening.empty() &&
           streams_.table.size() + ids_.closing() < agreed().peer_max_streams &&
           (accepts_opens() || accepts_late_opens());
}

bool session::kept_pending(const link_state& l) const {
    if (!flows(l)) return false;
    const bool small = &l == links_.small();
    if (small && (rst_pending() || may_open() || goaway_due_ || links_.has_drops())) return true;
    if (small && again_.has_small()) return true;
    if (!l.copies.empty()) return true;
    return may_serve(l);
}

bool session::may_serve(const link_state& l) const {
    if (!pacing_.may_read()) return false;
    return fresh_only(l) ? !l.ready.fresh_empty() : !l.ready.empty();
}

bool session::may_carry(const link_state& l) const {
    return &l == links_.bulk() && l.up() && again_.has_bulk() && flows(l) && l.kept.may_carry();
}

bool session::wants_turn(link_number number) const {
    const auto found = links_.find(number);
    if (!found) return false;
    const auto& l = *found;
    if (!l.outbox.empty()) return true;
    if (state_ == state::closed) return false;
    if (l.pongs_due > 0 || l.brought.ack_due() || l.alive.ping_due()) return true;
    if (!flows(l)) return false;
    if (&l == links_.small() && !waiting_.credits.empty()) return true;
    if (may_carry(l) || datagrams_.has_turn(l)) return true;
    return kept_pending(l) && !l.blocked;
}

bool session::may_batch_more(link_number number) const {
    const auto l = links_.find(number);
    return l && l->ready.alone_and_fast();
}

bool session::avoids(link_number number) const {
    const auto l = links_.find(number);
    return l && l->avoided;
}

bool session::waits_for_acks(link_number number) const {
    const auto l = links_.find(number);
    return l && l->blocked;
}

void session::wait_for_room(link_state& l) {
    if (l.blocked) return;
    ++statistics_.kept_full;
    l.blocks_until(now_ + std::max(l.alive.rtt(), blocked_retry));
}

void session::unblock() {
    for (const auto& l : links_)
        l->blocked = false;
}

// ---- Which link

link_state* session::home(const stream& s) const {
    // Behind its first frame while that may still be on its way: nothing of it overtakes then.
    if (s.first_link != stream::no_link) {
        const auto first = links_.find(s.first_link);
        if (first && first->up() && !first->avoided) return first;
    }
    return s.bulk ? links_.bulk(s.id) : links_.small();
}

bool session::sendable(const stream& s) const {
    if (s.closed || !s.opened() || s.rst_wanted) return false;
    if (!s.own.empty() || s.readable) return s.send.available() > 0;
    return s.fin_wanted && !s.fin_sent;
}

void session::schedule(stream& s) {
    if (s.queued != stream::queue::none || !sendable(s)) return;
    const auto l = home(s);
    if (!l) return; // on_links_changed() comes back to it.
    s.queued_at = l->number;
    l->ready.add(s);
    pacing_.on_readable();
    if (!turn_.open()) wake();
}

void session::unschedule(stream& s) {
    if (s.queued != stream::queue::fresh && s.queued != stream::queue::bulk_round) return;
    if (const auto l = links_.find(s.queued_at)) l->ready.remove(s);
    s.queued = stream::queue::none;
}

void session::list_credit(stream& s) {
    if (s.credit_listed || s.closed) return;
    s.credit_listed = true;
    waiting_.credits.push_back(&s);
    wake();
}

void session::list_reset(stream& s) {
    if (s.queued != stream::queue::none) return;
    const bool paced = client() && !s.connected;
    s.queued = paced ? stream::queue::paced_resets : stream::queue::resets;
    (paced ? waiting_.paced_resets : waiting_.resets).push(s);
    unblock(); // There is room on top for RST.
    wake();
}

void session::queue_control(link_state& l, std::uint32_t id, bytes_view payload) {
    const auto at = l.outbox.size();
    l.outbox.resize(at + frame_header_size);
    encode_header(l.outbox.data() + at,
                  {id, flag::ctrl, static_cast<std::uint16_t>(payload.size())});
    l.outbox.insert(l.outbox.end(), payload.begin(), payload.end());
}

void session::on_sent(stream& s, std::size_t bytes) {
    s.send.on_sent(bytes);
    turn_.link()->ready.on_sent(s, bytes);
    turn_.link()->rate.on_moved(bytes);
    statistics_.bytes_sent += bytes;
}

void session::on_fin_sent(stream& s) {
    s.fin_sent = true;
    s.readable = false;
    // Where nothing is kept all has been acknowledged already.
    if (s.unacked == 0) on_all_acked(s);
    close_if_done(s);
}

// ---- Reads

std::optional<read_slot> session::next_read() {
    if (!turn_.takes_kept() || turn_.rst_only() || state_ == state::closed) return {};
    auto& l = *turn_.link();
    if (!l.outbox.empty() || !flows(l)) return {};
    while (may_serve(l) && turn_.room() >= header_size() + turn_.read_min()) {
        auto& s = l.ready.next();
        read_slot slot;
        if (serve(s, slot)) return slot;
    }
    return {};
}

bool session::serve(stream& s, read_slot& slot) {
    if (!s.own.empty() && s.send.available() > 0) {
        lay_own(s);
        schedule(s);
        return false;
    }
    if (s.readable && s.send.available() > 0) {
        slot = make_slot(s);
        return true;
    }
    if (s.fin_wanted && !s.fin_sent && s.own.empty()) lay_fin(s);
    return false;
}

read_slot session::make_slot(stream& s) {
    read_slot slot;
    slot.subject = &s;
    const auto header = header_size();
    auto wanted = static_cast<std::size_t>(
        std::min<std::uint64_t>(turn_.link()->ready.quantum(), s.send.available()));
    wanted = pacing_.at_once(wanted);
    auto room = turn_.room();
    if (!turn_.link()->up())
        room = std::min(room, link_state::joining_bytes_max - turn_.link()->laid_bytes);
    for (std::size_t at = 0;
         wanted > 0 && slot.count < read_slot::places_max && at + header < room;) {
        const auto size = std::min({wanted, payload_max(), room - at - header});
        // What is left over is not worth a frame, and small ones go first when a link is lost.
        if (slot.count > 0 && size < std::min(payload_max(), 2 * turn_.read_min())) break;
        slot.places[slot.count++] = {turn_.here(at + header), size};
        slot.size += size;
        wanted -= size;
        at += header + size;
    }
    return slot;
}

void session::on_read(const read_slot& slot, std::size_t bytes, read_outcome outcome) {
    auto& s = *slot.subject;
    assert(bytes <= slot.size);
    auto rest = bytes;
    const bool end = outcome == read_outcome::end;
    if (bytes > 0) s.own_last = false;
    pacing_.on_read(bytes);
    for (std::size_t i = 0; rest > 0; ++i) {
        const auto part = std::min(rest, slot.places[i].size());
        rest -= part;
        const bool fin = end && rest == 0;
        const auto flags = static_cast<std::uint8_t>(fin ? flag::data | flag::fin : flag::data);
        const auto frame = turn_.here();
        turn_.skip_data(
            {s.id, flags, static_cast<std::uint16_t>(part + header_size() - frame_header_size)},
            version_ >= 2 ? s.send.sent() : turn::no_offset, part);
        count_frame(&s, frame, part);
        on_sent(s, part);
    }
    if (end) {
        s.fin_wanted = true;
        if (bytes == 0) return lay_fin(s);
        return on_fin_sent(s);
    }
    if (outcome == read_outcome::drained) s.readable = false;
    if (s.readable && s.send.available() == 0) ++statistics_.windows_dry;
    schedule(s);
}

} // namespace muxsocks
