// One turn of one link: control frames, then streams by their turn, laid one behind the other.

#include "protocol/session/session.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {
namespace {

constexpr std::size_t credits_a_turn = 256; ///< 4 KiB of CREDIT.
constexpr std::size_t credit_frame_size = frame_header_size + 9;
constexpr std::size_t rst_frame_size = frame_header_size + 4;
constexpr std::size_t token_frame_size = frame_header_size + 8; ///< PING and PONG.
constexpr std::size_t ack_frame_size = frame_header_size + 9;
constexpr duration resets_pause = std::chrono::milliseconds(35);
constexpr std::size_t copies_max = 64 * 1024; ///< Waiting; above it they go by one link only.

} // namespace

void session::begin_turn(link_number number, instant now, std::size_t size) {
    now_ = now;
    auto& l = *links_.find(number);
    if (const auto rate = l.rate.sample(now)) l.ready.on_rate(*rate);
    l.ready.set_visit_max(pacing_.at_once(SIZE_MAX));
    if (datagrams_.begin_turn(l, size)) return;
    // Session-level frames that might fill an area get a turn of their own, so that frames are
    // never split where kept ones are walked over.
    const bool pending = kept_pending(l) && l.outbox.size() <= settings_.pool->chunk_size() / 8;
    const bool rst = &l == links_.small() && rst_pending();
    // A small frame as it is must fit.
    std::size_t needed = l.copies.empty() ? 0 : frame_at(l.copies.data()).size();
    if (&l == links_.small() && again_.has_small())
        needed = std::max(needed, again_.front_small().size());
    auto where = l.kept.open(pending, rst, needed);
    if (pending && !where.kept) {
        if (l.kept.grow(now, l.alive.rtt())) where = l.kept.open(pending, rst, needed);
        if (!where.kept) {
            wait_for_room(l);
            // Bulk of datagrams has waited for streams that can send nothing now.
            if (datagrams_.begin_turn(l, size)) return;
        }
    }
    if (!l.up()) {
        // JOIN itself does not count, and one small frame more does no harm.
        const auto left =
            link_state::joining_bytes_max - std::min(l.laid_bytes, link_state::joining_bytes_max);
        size = std::min(size, left);
    }
    turn_.open(l, where, size, l.outbox.size());
    if (l.outbox.empty() && may_carry(l) && std::exchange(l.stretch_next, false)) return;
    lay_outbox(l);
    if (!l.outbox.empty() || state_ == state::closed) return;
    lay_control(l);
    if (!turn_.takes_kept() || !flows(l)) return;
    l.blocked = false;
    const bool small = &l == links_.small();
    if (!turn_.rst_only()) lay_kept_control(l);
    if (small) lay_resets();
    if (turn_.rst_only()) {
        if (turn_.kept() == 0) wait_for_room(l);
        if (turn_.laid() == 0 && datagrams_.has_turn(l)) {
            chunk_ref unused;
            turn_.close(unused);
            datagrams_.begin_turn(l, size);
        }
        return;
    }
    lay_again(l);
    if (small) lay_opening();
}

void session::lay_outbox(link_state& l) {
    if (l.outbox.empty()) return;
    std::size_t part = 0;
    while (part < l.outbox.size()) {
        const auto size = frame_at(l.outbox.data() + part).size();
        if (part + size > turn_.room()) break;
        part += size;
    }
    turn_.lay_raw(bytes_view(l.outbox).first(part));
    turn_.asks();
    if (part == l.outbox.size())
        std::vector<std::uint8_t>().swap(l.outbox);
    else
        l.outbox.erase(l.outbox.begin(), l.outbox.begin() + static_cast<std::ptrdiff_t>(part));
}

void session::lay_control(link_state& l) {
    std::array<std::uint8_t, 9> payload{};
    const auto token_size = static_cast<std::uint16_t>(version_ >= 2 ? 8 : 0);
    const auto lay_token = [&](std::uint8_t flags, std::uint64_t token) {
        store_u64(payload.data(), token);
        turn_.lay({0, flags, token_size}, bytes_view(payload).first(token_size));
    };
    if (version_ >= 2 && l.up() && l.rate.bulk_since_ping()) l.alive.on_bulk(now_);
    for (; l.pongs_due > 0 && turn_.room() >= 4 * frame_header_size; --l.pongs_due)
        lay_token(flag::pong, l.pong_token);
    if (l.alive.ping_due() && turn_.room() >= token_frame_size) {
        l.rate.on_ping();
        lay_token(flag::ping, l.alive.on_ping_sent(now_));
        l.acks.on_ping_sent();
        turn_.asks();
    }
    const bool news = agreed().keeps && handshake_.done() && l.brought.has_news();
    if (news && turn_.room() < ack_frame_size) return;
    if (news) {
        payload[0] = static_cast<std::uint8_t>(control_type::ack);
        store_u64(payload.data() + 1, l.brought.frames());
        turn_.lay({0, flag::ctrl, 9}, payload);
    }
    l.brought.on_ack_laid();
    if (version_ >= 2 && flows(l) && &l == links_.small()) lay_credits(l);
}

void session::lay_credits(link_state& l) {
    std::array<std::uint8_t, 9> payload{static_cast<std::uint8_t>(control_type::credit)};
    std::size_t laid = 0;
    while (!waiting_.credits.empty() && laid < credits_a_turn &&
           turn_.room() >= 2 * credit_frame_size) {
        auto& s = *waiting_.credits.back();
        waiting_.credits.pop_back();
        s.credit_listed = false;
        if (s.closed || s.rst_wanted || s.ends_at_top) continue;
        store_u64(payload.data() + 1, s.recv.announce());
        turn_.lay({s.id, flag::ctrl, 9}, payload);
        s.credit_link = l.number;
        turn_.asks();
        ++laid;
    }
}

void session::lay_kept_control(link_state& l) {
    const auto lay = [&](bytes_view payload) {
        const auto frame = turn_.here();
        turn_.lay({0, flag::ctrl, static_cast<std::uint16_t>(payload.size())}, payload);
        count_frame(nullptr, frame, payload.size());
    };
    if (&l != links_.small()) return;
    // What was given up is said first: a JOIN makes room by it.
    while (links_.has_drops()) {
        const auto payload = encode(links_.next_drop());
        if (turn_.room() < frame_header_size + payload.size()) return;
        lay(payload);
        links_.on_drop_laid();
    }
    if (!goaway_due_) return;
    const auto payload = encode(*goaway_);
    if (turn_.room() < frame_header_size + payload.size()) return;
    goaway_due_ = false;
    lay(payload);
}

void session::lay_again(link_state& l) {
    // Copies of what another link carries now.
    std::size_t part = 0;
    while (part < l.copies.size()) {
        const auto frame = frame_at(l.copies.data() + part);
        if (turn_.room() < frame.size()) break;
        const auto id = load_u32(frame.data());
        const auto s = streams_.table.find(id);
        turn_.lay_raw(frame);
        if (!broken(broken_rule::copies_not_counted)) turn_.count_kept();
        turn_.asks();
        if (l.kept.keeps()) {
            if (s)
                ++s->unacked;
            else
                ids_.on_frame_copied(id);
        }
        ++statistics_.sent_twice;
        part += frame.size();
    }
    l.copies.erase(l.copies.begin(), l.copies.begin() + static_cast<std::ptrdiff_t>(part));
    if (&l != links_.small()) return;
    while (again_.has_small() && turn_.room() >= again_.front_small().size()) {
        turn_.lay_raw(again_.front_small());
        turn_.count_kept();
        turn_.asks();
        again_.pop_small();
    }
}

void session::count_frame(stream* s, const std::uint8_t* frame, std::size_t size) {
    turn_.count_kept();
    turn_.asks();
    const auto& l = *turn_.link();
    if (!l.kept.keeps()) return;
    if (s) ++s->unacked;
    if (settings_.overlapping && s) lay_overlap(*s, frame);
    const auto second = links_.twice();
    if (!second || size > copy_budget::frame_max || &l != links_.small() ||
        second->copies.size() > copies_max)
        return;
    const auto whole = frame_at(frame);
    if (!copies_.take(whole.size(), now_)) return;
    second->copies.insert(second->copies.end(), whole.begin(), whole.end());
}

void session::lay_overlap(stream& s, const std::uint8_t* frame) {
    const auto whole = frame_at(frame);
    const auto header = decode_header(frame);
    if ((header.flags & flag::data) == 0 || whole.size() < data_header_size + 3) return;
    // The second half once more, which may overtake the first by another link.
    const auto bytes = whole.subspan(data_header_size);
    const auto half = bytes.size() / 2;
    std::vector<std::uint8_t> again(data_header_size);
    again.insert(again.end(), bytes.begin() + static_cast<std::ptrdiff_t>(half), bytes.end());
    const auto flags = static_cast<std::uint8_t>(header.flags & ~flag::syn);
    encode_header(again.data(),
                  {s.id, flags, static_cast<std::uint16_t>(again.size() - frame_header_size)});
    store_u64(again.data() + frame_header_size, load_u64(frame + frame_header_size) + half);
    const auto second = links_.twice();
    auto& to = second ? second->copies : turn_.link()->copies;
    to.insert(to.end(), again.begin(), again.end());
}

void session::lay_rst(std::uint32_t id, reset_code code, stream* s) {
    std::array<std::uint8_t, 4> payload{};
    const std::size_t size = version_ >= 2 ? payload.size() : 0;
    store_u32(payload.data(), static_cast<std::uint32_t>(code));
    ++statistics_.resets_sent;
    const auto frame = turn_.here();
    turn_.lay({id, flag::rst, static_cast<std::uint16_t>(size)}, bytes_view(payload).first(size));
    count_frame(s, frame, size);
}

void session::lay_resets() {
    while (!waiting_.refusals.empty() && turn_.room() >= rst_frame_size) {
        lay_rst(waiting_.refusals.front(), reset_code::refused, nullptr);
        waiting_.refusals.pop_front();
    }
    lay_resets_of(waiting_.resets, false);
    if (!waiting_.resets_paced(now_)) lay_resets_of(waiting_.paced_resets, true);
}

void session::lay_resets_of(ready_list& list, bool paced) {
    const stream* first_passed = nullptr;
    while (!list.empty() && turn_.room() >= rst_frame_size) {
        auto& s = *list.front();
        // Own bytes (a SOCKS reply) still go out, as far as there is credit.
        if (!s.own.empty() && s.send.available() > 0) {
            if (!turn_.rst_only()) {
                if (turn_.room() < header_size() + turn_.read_min()) break;
                lay_own(s);
                continue;
            }
            // They wait for room for DATA; the RSTs of others need not.
            if (&s == first_passed) break;
            if (!first_passed) first_passed = &s;
            list.push(list.pop());
            continue;
        }
        if (s.rst_waits && s.unacked > 0) {
            list.pop(); // on_all_acked() lists it again.
            s.queued = stream::queue::none;
            s.own.clear();
            continue;
        }
        // A client keeps below the rate at which the server would end the session.
        if (paced && !flood_.resets.take(now_)) {
            waiting_.resets_paced_until = now_ + resets_pause;
            break;
        }
        list.pop();
        s.queued = stream::queue::none;
        lay_rst(s.id, s.rst_code, &s);
        close_stream(s);
        drop_if_released(s);
    }
}

void session::lay_opening() {
    while (may_open()) {
        auto& s = *waiting_.opening.front();
        const auto syn_size = version_ >= 2 ? std::size_t{0} : frame_header_size;
        // The first frame and the request leave together.
        if (turn_.room() < syn_size + header_size() + std::min(s.own.size(), turn_.read_min()))
            break;
        waiting_.opening.pop();
        --waiting_.opening_count;
        s.queued = stream::queue::none;
        if (broken(broken_rule::ids_left_out) && statistics_.streams_opened % 4 == 2) ids_.take();
        s.id = ids_.take();
        s.send = send_window(version_ >= 2 ? agreed().peer_window : credit_limit_max);
        streams_.table.insert(s);
        datagrams_.list(s);
        if (version_ >= 2) {
            if (agreed().keeps) s.first_link = turn_.link()->number;
            lay_own(s, flag::syn);
        } else {
            turn_.lay({s.id, flag::syn, 0}, {});
            if (!s.own.empty()) lay_own(s);
        }
        schedule(s);
        if (ids_.exhausted()) {
            emit(event::kind::goaway, nullptr, errc::ids_exhausted);
            while (!waiting_.opening.empty())
                end_stream(*waiting_.opening.front(), errc::ids_exhausted);
        }
    }
}

void session::lay_own(stream& s, std::uint8_t more_flags) {
    const auto part = std::min({s.own.size(), static_cast<std::size_t>(s.send.available()),
                                payload_max(), turn_.room() - header_size()});
    const bool last = part == s.own.size();
    const bool fin = last && s.fin_wanted && !s.readable;
    const auto flags =
        static_cast<std::uint8_t>((fin ? flag::data | flag::fin : flag::data) | more_flags);
    const auto frame = turn_.here();
    turn_.lay_data(
        {s.id, flags, static_cast<std::uint16_t>(part + header_size() - frame_header_size)},
        version_ >= 2 ? s.send.sent() : turn::no_offset, s.own.view().first(part));
    count_frame(&s, frame, part);
    on_sent(s, part);
    s.own_last = part > 0;
    s.own.consume(part);
    if (fin) on_fin_sent(s);
}

void session::lay_fin(stream& s) {
    const auto frame = turn_.here();
    const auto size = static_cast<std::uint16_t>(header_size() - frame_header_size);
    turn_.lay_data({s.id, flag::fin, size}, version_ >= 2 ? s.send.sent() : turn::no_offset, {});
    count_frame(&s, frame, 0);
    on_fin_sent(s);
}

bytes_view session::end_turn(chunk_ref& keep) {
    auto& l = *turn_.link();
    bool asked = turn_.asked();
    auto bytes = turn_.close(keep);
    if (state_ == state::closed) l.kept.clear(); // Closed while the turn was laid.
    l.stretch_next = !bytes.empty();
    if (bytes.empty() && l.outbox.empty() && may_carry(l)) {
        const auto again = again_.take_bulk(settings_.pool->chunk_size());
        l.kept.carry(again);
        again_.forget(again);
        keep = again.chunk;
        bytes = again.bytes();
        asked = true;
    }
    l.on_kept(now_);
    if (!l.up()) l.laid_bytes += bytes.size();
    if (asked && l.up() && !l.unanswered_since) l.unanswered_since = now_;
    reap();
    return bytes;
}

} // namespace muxsocks
