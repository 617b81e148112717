#include "tests/session_sim/player.hpp"

#include <algorithm>

namespace muxsocks::session_sim {

void player::open(const stream_plan& what, instant now) {
    now_ = now;
    auto& p = parts.emplace_back();
    p.what = &what;
    p.given = p.written = request_size;
    if (core->stream_count() + core->opening_count() >= streams_max) ++limits_reached;
    p.s = &core->open(request_of(what), &p);
}

// ---- What the session tells

void player::on_event(const event& what) {
    const auto p = what.subject ? static_cast<part*>(what.subject->context) : nullptr;
    switch (what.type) {
    case event::kind::opened: {
        auto& added = parts.emplace_back();
        added.s = what.subject;
        added.s->context = &added;
        break;
    }
    case event::kind::readable:
        require(!p->over(), "a released stream is readable");
        // The socket takes a part at once, or nothing.
        if (random_.chance(2, 3)) take(*p);
        break;
    case event::kind::reset:
        require(!p->over(), "a released stream was reset");
        p->reset = what.error;
        p->had = p->taken + p->s->unread_bytes();
        release(*p);
        break;
    case event::kind::datagram:
        if (!p->over()) check_datagram(*p, core->datagrams_lane().received(what));
        break;
    case event::kind::established:
        established = true;
        break;
    case event::kind::goaway:
        told_to_go = true;
        break;
    case event::kind::closed:
        require(!closed, "a session closed twice");
        closed = what.error;
        break;
    case event::kind::join_failed:
        number_used |= core->join_answer().code == join_failure::number_used;
        break;
    default:
        break;
    }
}

stream_user::read_result player::read(const read_slot& slot) {
    auto& p = *static_cast<part*>(slot.subject->context);
    require(!p.over(), "a released stream is read from");
    if (p.broken_socket) {
        p.aborted = true;
        core->reset(*p.s, reset_code::cancelled);
        return {};
    }
    const auto wanted = std::min<std::uint64_t>(slot.size, p.written - p.given);
    // Sometimes the socket gives less than it has.
    auto left = wanted > 0 && random_.chance(1, 4) ? random_.between(1, wanted) : wanted;
    const bool all = left == wanted && p.written - p.given == wanted;
    read_result result;
    result.bytes = static_cast<std::size_t>(left);
    for (std::size_t i = 0; i < slot.count && left > 0; ++i) {
        const auto part_size = std::min<std::uint64_t>(slot.places[i].size(), left);
        for (std::uint64_t at = 0; at < part_size; ++at)
            slot.places[i][at] = content(p.what->number, to_server(), p.given++);
        left -= part_size;
    }
    if (!all && random_.chance(3, 4)) {
        result.outcome = read_outcome::more;
    } else if (all && p.written == total(p) && may_end(p) && !plan_of(p).ends_by_finish) {
        result.outcome = read_outcome::end;
        p.end_given = true;
    } else {
        p.listening = true;
    }
    return result;
}

// ---- Datagrams: each has its stream's number, its own, and bytes that follow from both

namespace {

constexpr std::size_t datagram_head = 8;

std::size_t size_of_datagram(std::uint32_t number) { return datagram_head + number * 37 % 900; }

} // namespace

void player::make_datagrams(part& p) {
    if (!core->datagrams_lane().agreed() || !datagram_random_.chance(1, 3)) return;
    p.datagrams_waiting += static_cast<std::uint32_t>(datagram_random_.between(1, 3));
    core->datagrams_lane().on_readable(*p.s);
}

std::pair<std::size_t, bool> player::read_datagram(const datagram_slot& slot) {
    auto& p = *static_cast<part*>(slot.subject->context);
    require(!p.over(), "a released stream is asked for datagrams");
    if (p.datagrams_waiting == 0) return {};
    --p.datagrams_waiting;
    const auto number = ++p.datagrams_made;
    const auto size = size_of_datagram(number);
    if (size > slot.place.size()) return {0, p.datagrams_waiting > 0}; // It is dropped.
    store_u32(slot.place.data(), p.what->number);
    store_u32(slot.place.data() + 4, number);
    for (auto at = datagram_head; at < size; ++at)
        slot.place[at] = content(p.what->number, to_server(), number + at);
    return {size, p.datagrams_waiting > 0};
}

void player::check_datagram(part& p, bytes_view bytes) {
    if (!p.what) return; // It has overtaken the request.
    require(bytes.size() >= datagram_head, "a datagram is shorter than any");
    const auto number = load_u32(bytes.data() + 4);
    require(load_u32(bytes.data()) == p.what->number, "a datagram has come to another stream");
    require(bytes.size() == size_of_datagram(number), "a datagram has another size");
    for (auto at = datagram_head; at < bytes.size(); ++at)
        require(bytes[at] == content(p.what->number, !to_server(), number + at),
                "a datagram was changed");
    require(p.datagrams_had.insert(number).second, "a datagram has come twice");
}

// ---- The session goes on elsewhere

std::vector<std::uint8_t> player::owner_of(stream& s) {
    const auto at = std::find_if(parts.begin(), parts.end(), [&](auto& p) { return p.s == &s; });
    std::vector<std::uint8_t> name(4);
    store_u32(name.data(), static_cast<std::uint32_t>(at - parts.begin()));
    return name;
}

void player::adopt(session& at, stream& s, bytes_view owner) {
    core = &at;
    auto& p = parts[load_u32(owner.data())];
    s.context = &p;
    p.s = &s;
    // Its socket is looked at anew.
    p.listening = !p.broken_socket;
    if (p.broken_socket) core->on_readable(s);
}

// ---- What is received

bool player::stalled(part& p) const {
    if (!p.what || !plan_of(p).stall_at || p.taken < *plan_of(p).stall_at) return false;
    if (p.stalled_until == instant{}) p.stalled_until = now_ + plan_of(p).stall_for;
    return now_ < p.stalled_until;
}

bool player::take(part& p) {
    if (p.over() || stalled(p)) return false;
    std::array<bytes_view, 4> views;
    const auto used = core->peek(*p.s, std::span(views).first(random_.between(1, views.size())));
    auto left = p.what ? random_.between(1, plan_of(p).appetite) : request_size - p.taken;
    std::size_t bytes = 0;
    for (const auto view : std::span(views).first(used)) {
        const auto portion = view.first(std::min<std::size_t>(view.size(), left));
        check(p, portion);
        bytes += portion.size();
        left -= portion.size();
    }
    core->consume(*p.s, bytes, now_);
    if (!p.what && p.taken == request_size) on_head(p);
    if (!p.over() && p.s->at_end() && !p.end_seen) {
        on_end(p);
        return true;
    }
    return bytes > 0;
}

void player::check(part& p, bytes_view bytes) {
    const auto size = to_server() ? reply_size : request_size;
    for (const auto byte : bytes) {
        if (p.taken < size) {
            p.head[p.taken++] = byte;
            if (p.taken == reply_size && to_server()) on_head(p);
            continue;
        }
        require(byte == content(p.what->number, !to_server(), p.taken++),
                "a byte is not the one that was sent");
    }
}

void player::on_head(part& p) {
    if (to_server()) {
        const auto expected = reply_of(*p.what);
        require(std::equal(expected.begin(), expected.end(), p.head.begin()), "the reply is wrong");
        p.refused = p.what->refused;
        return;
    }
    p.what = find_plan(load_u32(p.head.data()));
    require(p.what && p.head == request_of(*p.what), "the request is wrong");
    core->accept(*p.s);
    if (p.what->refused) {
        p.refused = true;
        core->refuse(*p.s, reply_of(*p.what));
        p.s = nullptr;
        return;
    }
    core->write(*p.s, reply_of(*p.what));
    p.given = p.written = reply_size;
    if (!p.what->last_words) return;
    p.dies = true;
}

void player::on_end(part& p) {
    require(p.what != nullptr, "a stream ended before its request");
    const auto& peer = to_server() ? p.what->server : p.what->client;
    const auto expected =
        to_server() ? reply_size + (p.refused ? 0 : peer.bytes) : request_size + peer.bytes;
    // A client that was refused stops sending.
    require(!p.what->last_words || !to_server(), "a stream that was reset ended in the normal way");
    require(p.taken == expected, "a stream ended in the normal way, but not where its sender did");
    p.end_seen = true;
    if (p.refused && !p.end_given) {
        core->finish(*p.s);
        p.end_given = true;
    }
}

// ---- What the applications do

bool player::play(instant now, bool all) {
    now_ = now;
    bool anything = false;
    for (auto& p : parts)
        if (!p.over() && (all || random_.chance(1, 2))) anything |= play(p);
    return anything;
}

bool player::play(part& p) {
    if (!p.what) return take(p);
    bool anything = abort(p);
    if (!p.over()) anything |= take(p);
    if (!p.over()) anything |= write(p);
    if (!p.over() && anything) make_datagrams(p);
    if (!p.over()) anything |= finish(p);
    return anything;
}

bool player::abort(part& p) {
    if (p.dies) {
        // Nothing but the reply has been said; whether it is on its way already depends.
        if (!random_.chance(1, 6)) return false;
        p.aborted = true;
        core->reset(*p.s, reset_code::cancelled);
        release(p);
        return true;
    }
    const auto& how = plan_of(p);
    const auto moved = p.given + p.taken - std::min(head_size(), p.given);
    if (!how.abort_at || moved < *how.abort_at || p.broken_socket) return false;
    if (how.abort_how == side_plan::abort_by::read_error && !p.end_given) {
        p.broken_socket = true; // Found out by the next read.
        core->on_readable(*p.s);
        return true;
    }
    p.aborted = true;
    if (how.abort_how == side_plan::abort_by::reset) core->reset(*p.s, reset_code::cancelled);
    release(p);
    return true;
}

bool player::write(part& p) {
    if (p.end_given || p.broken_socket || p.aborted || p.dies) return false;
    bool anything = false;
    if (p.written < total(p) && p.given == p.written) {
        p.written += random_.between(1, std::min(plan_of(p).burst, total(p) - p.written));
        anything = true;
    }
    const bool all_given = p.given == p.written;
    if (p.given == total(p) && may_end(p) && plan_of(p).ends_by_finish) {
        core->finish(*p.s);
        p.end_given = true;
        return true;
    }
    if (!p.listening || (all_given && (p.written < total(p) || !may_end(p)))) return anything;
    if (all_given && plan_of(p).ends_by_finish) return anything;
    p.listening = false;
    core->on_readable(*p.s);
    return true;
}

bool player::finish(part& p) {
    if (!p.aborted && !(p.end_given && p.end_seen)) return false;
    release(p);
    return true;
}

void player::release(part& p) {
    core->release(*p.s);
    p.s = nullptr;
}

std::optional<instant> player::next_instant() const {
    std::optional<instant> first;
    for (const auto& p : parts)
        if (!p.over() && p.stalled_until > now_ && (!first || p.stalled_until < *first))
            first = p.stalled_until;
    return first;
}

bool player::all_over() const {
    return std::all_of(parts.begin(), parts.end(), [](const part& p) { return p.over(); });
}

} // namespace muxsocks::session_sim
