// Links: how they begin, join, break and end.

#include "tests/session_sim/world.hpp"

#include <algorithm>

namespace muxsocks::session_sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t handshake_bytes = 400; ///< Of one direction, about.

} // namespace

// ---- Either side

world::link* world::link_of(const link_end& end) {
    for (const auto& l : links_)
        if (&l->up == end.out || &l->up == end.in) return l.get();
    return nullptr;
}

void world::close_pipes(const link_end& end) {
    // What has left may still arrive; what comes is read no more.
    if (!end.out->broken()) end.out->cut(random_.below(end.out->in_flight() + 1));
    end.in->cut(0);
}

bool world::mind(side& one) {
    bool anything = one.end.time_out(now_);
    one.end.settle();
    // Whoever was woken in between finds the links in any order.
    std::vector<link_number> numbers;
    for (const auto& each : one.end.links)
        numbers.push_back(each.number);
    if (!numbers.empty())
        std::rotate(numbers.begin(),
                    numbers.begin() + static_cast<std::ptrdiff_t>(random_.below(numbers.size())),
                    numbers.end());
    for (const auto number : numbers) {
        anything |= one.end.send(number, random_.below(plan_.step_bytes), now_);
        if (one.end.core().waits_for_acks(number)) ++tally_.kept_waits;
        anything |= one.end.receive(number, random_.below(plan_.step_bytes), now_);
        const auto end = one.end.find(number);
        if (!end) continue;
        const auto l = link_of(*end);
        const bool early = !l || !l->whole; // What is whole is read to its end.
        if (end->in->at_end() || (early && end->in->broken() && random_.chance(1, 5))) {
            close_pipes(*end);
            one.end.lose(number, now_);
            anything = true;
        }
    }
    return anything;
}

/// The session is over: what it still has to say goes out, and its links end.
bool world::mind_closed(side& one, client_side* client) {
    if (one.linger_until == instant{}) one.linger_until = now_ + seconds(1);
    bool anything = false;
    for (std::size_t i = 0; i < one.end.links.size();) {
        const auto& end = one.end.links[i];
        const bool flushed = !one.end.core().wants_turn(end.number) && end.laid.empty();
        if (!flushed && now_ < one.linger_until) {
            ++i;
            continue;
        }
        const auto l = link_of(end);
        if (client && flushed && l && l->whole && l->accepted && !l->elsewhere &&
            client->user.closed == errc::closed_locally && client->peer &&
            client->peer->end.end_of(l->up))
            client->said_close = true;
        if (flushed) {
            end.out->close(); // All of it arrives.
        } else {
            close_pipes(end);
            // Where nothing is acknowledged, what did not go out in time is lost with its link.
            if (client && !client->end.core().agreed().keeps) client->orderly = false;
        }
        end.in->cut(0);
        one.end.forget(end.number);
        anything = true;
    }
    return anything;
}

void world::draw_roles(side& one) {
    std::vector<link_number> up;
    for (const auto& each : one.end.links)
        up.push_back(each.number);
    if (up.size() < 2) return;
    const auto any = [&] { return up[random_.below(up.size())]; };
    link_roles roles;
    roles.small = any();
    if (plan_.twice && random_.chance(2, 3)) roles.twice = any();
    for (auto& bulk : roles.bulk)
        if (random_.chance(1, 2)) bulk = any();
    one.end.core().set_roles(roles);
    one.end.core().set_twice(1'000'000);
    // Bulk is what the dice say: the streams are too short for the meter.
    one.end.core().for_each_stream([this](stream& s) {
        if (random_.chance(1, 4)) s.bulk = !s.bulk;
    });
    ++tally_.roles;
}

// ---- The client's side

void world::start_client() {
    auto& c = clients_.emplace_back(plan_.client, random_.next(), now_);
    c.user.streams_max = plan_.server.max_streams;
    c.end.output_max = plan_.output_max;
    c.end.on_link_over = [this, &c](link_end& end, const event& what) {
        const auto l = link_of(end);
        if (what.type == event::kind::join_failed && l && !l->elsewhere) {
            const auto code = c.end.core().join_answer().code;
            if (code == join_failure::unknown_session) c.knows_end = true;
        }
        close_pipes(end);
        if (l) l->whole = false;
    };
    auto& l = dial(c);
    c.end.add(0, l.up, l.down);
    c.end.core().on_link(l.exporter, now_);
}

world::link& world::dial(client_side& from) {
    pipe::script up{plan_.pipe_capacity, plan_.delay};
    if (random_.chance(1, 2)) up.delay += milliseconds(random_.below(100));
    pipe::script down = up;
    bool whole = true;
    if (!calm_ && cuts_left_ > 0 && random_.chance(1, 4)) {
        // Breaks while it is being agreed upon, at a byte that the dice choose.
        auto& broken = random_.chance(1, 2) ? up : down;
        broken.cut_after = random_.below(handshake_bytes);
        whole = false;
        --cuts_left_;
        ++tally_.cuts;
        ++(from.user.established ? tally_.cuts_in_join : tally_.cuts_in_handshake);
    }
    auto& l = *links_.emplace_back(std::make_unique<link>(up, down));
    l.from = &from;
    l.whole = whole;
    l.accepted_until = now_ + seconds(10);
    for (auto& byte : l.exporter)
        byte = static_cast<std::uint8_t>(random_.next());
    return l;
}

void world::join(client_side& c) {
    auto& l = dial(c);
    l.elsewhere = !calm_ && c.end.core().attached() && random_.chance(1, 12);
    l.number = c.end.core().join(l.exporter, now_);
    c.end.add(l.number, l.up, l.down);
    c.end.settle();
}

bool world::mind_client(client_side& c) {
    auto& core = c.end.core();
    const bool was_attached = core.attached();
    bool anything = mind(c);
    if (core.closed()) return mind_closed(c, &c) || anything;
    if (was_attached && !core.attached())
        c.dial_at = now_ + milliseconds(random_.below(
                               static_cast<std::uint64_t>(plan_.dial_pause / milliseconds(1))));
    if (c.knows_end && !core.attached()) {
        require(!c.peer || c.peer->end.core().closed(),
                "the server does not know a session that it has");
        core.close(close_code::normal, errc::resume_refused, "");
        c.end.settle();
        return true;
    }
    if (c.retired && core.established() && c.user.all_over() && core.may_end()) {
        if (core.link_count() > 1) ++tally_.orderly_on_several;
        c.orderly = true;
        core.close(close_code::normal, errc::closed_locally, "");
        c.end.settle();
        return true;
    }
    const auto wanted = std::min<std::size_t>(plan_.links, core.agreed().max_links);
    if (core.established() && core.link_count() < wanted && now_ >= c.dial_at &&
        (core.attached() || core.agreed().resumable)) {
        join(c);
        c.dial_at = now_ + milliseconds(core.attached() ? 20 + random_.below(500) : 200);
        return true;
    }
    return anything;
}

world::client_side* world::active_client() {
    for (auto& c : clients_)
        if (c.end.core().accepts_opens() && !c.user.told_to_go && !c.retired) return &c;
    return nullptr;
}

// ---- The server's side

bool world::mind_link(link& l) {
    // A link breaks in both directions at once.
    if (l.up.broken() && !l.down.broken()) l.down.cut(random_.below(l.down.in_flight() + 1));
    if (l.down.broken() && !l.up.broken()) l.up.cut(random_.below(l.up.in_flight() + 1));
    if (l.accepted) return false;
    if (now_ >= l.accepted_until) {
        l.accepted = true;
        l.down.close();
        l.up.cut(0);
        return true;
    }
    const bool fresh = l.up.read(l.first, random_.below(plan_.step_bytes), now_) > 0;
    if (l.first.size() < frame_header_size) return fresh;
    const auto header = decode_header(l.first.data());
    if (l.first.size() < frame_header_size + header.length) return fresh;
    require(header.flags == flag::ctrl && header.stream_id == 0,
            "a link begins with a wrong frame");
    l.accepted = true;
    if (l.first[frame_header_size] == static_cast<std::uint8_t>(control_type::hello))
        accept_hello(l);
    else
        accept_join(l);
    return true;
}

void world::accept_hello(link& l) {
    auto& s = servers_.emplace_back(plan_.server, random_.next(), now_);
    s.user.find_plan = [this](std::uint32_t number) {
        return number >= 1 && number <= plans_.size() ? &plans_[number - 1] : nullptr;
    };
    s.end.output_max = plan_.output_max;
    s.peer = l.from;
    l.from->peer = &s;
    s.end.on_link_over = [this](link_end& end, const event& what) {
        if (what.error == errc::link_replaced) ++tally_.replaced;
        close_pipes(end);
        if (const auto over = link_of(end)) over->whole = false;
    };
    s.end.add(0, l.down, l.up, std::move(l.first));
    s.end.core().on_link(l.exporter, now_);
}

void world::accept_join(link& l) {
    const auto header = decode_header(l.first.data());
    const auto size = frame_header_size + header.length;
    const auto frame = decode_join(bytes_view(l.first).subspan(frame_header_size, header.length));
    require(frame.has_value(), "a JOIN cannot be decoded");
    if (l.elsewhere) {
        ++tally_.elsewhere;
        return refuse_join(l, join_failure::unknown_session);
    }
    for (auto& s : servers_) {
        if (s.end.core().id() != frame->id) continue;
        const auto failure = s.end.core().on_join(*frame, l.exporter, now_);
        if (failure) return refuse_join(l, failure->code);
        const std::vector<std::uint8_t> rest(l.first.begin() + static_cast<std::ptrdiff_t>(size),
                                             l.first.end());
        s.end.add(frame->number, l.down, l.up, rest);
        // What came in the same read is looked at before the batch ends.
        s.end.receive(frame->number, 0, now_);
        s.end.settle();
        return;
    }
    refuse_join(l, join_failure::unknown_session);
}

void world::refuse_join(link& l, join_failure why) {
    const auto payload = encode(join_fail_frame{why, 0});
    l.down.write(control_frame(payload), now_);
    l.down.close();
    l.up.cut(0);
}

bool world::mind_server(server_side& s) {
    auto& core = s.end.core();
    bool anything = mind(s);
    if (core.closed()) {
        s.alone_since.reset();
        return mind_closed(s, nullptr) || anything;
    }
    if (core.attached()) {
        s.alone_since.reset();
        return anything;
    }
    if (!s.alone_since) s.alone_since = now_;
    const bool forsaken = s.peer->end.core().closed() && s.end.links.empty();
    if (!forsaken && now_ < *s.alone_since + plan_.server_patience) return anything;
    s.left_alone = forsaken;
    s.expired = !forsaken;
    s.alone_since.reset();
    core.close(close_code::normal, errc::closed_locally, "");
    s.end.settle();
    return true;
}

// ---- How links break

void world::break_off(link& l) {
    l.whole = false;
    if (l.up.in_flight() > 0) l.from->said_close = false;
    l.up.cut(random_.below(l.up.in_flight() + 1));
    l.down.cut(random_.below(l.down.in_flight() + 1));
}

void world::cut_something() {
    if (links_.empty()) return;
    auto& l = *links_[random_.below(links_.size())];
    if (l.up.broken() && l.down.broken()) return;
    --cuts_left_;
    ++tally_.cuts;
    l.whole = false;
    auto& c = *l.from;
    const auto at_client = c.end.end_of(l.up);
    if (!c.user.established) ++tally_.cuts_in_handshake;
    if (at_client && l.number != 0 && !l.accepted) ++tally_.cuts_in_join;
    switch (plan_.swallows ? random_.below(12) : random_.between(2, 11)) {
    case 0: // Nothing arrives any more, and nobody is told.
        l.up.stall();
        ++tally_.swallowed;
        [[fallthrough]];
    case 1:
        l.down.stall();
        ++tally_.swallowed;
        return;
    case 2: // The client alone notices; what it has sent goes on arriving.
        ++tally_.cuts_by_one;
        if (at_client) c.end.lose(at_client->number, now_);
        return;
    case 3:
        ++tally_.cuts_by_one;
        for (auto& s : servers_)
            if (const auto end = s.end.end_of(l.up)) return s.end.lose(end->number, now_);
        return;
    case 4: // Another network: all at once.
        ++tally_.cuts_of_all;
        for (const auto& each : links_)
            if (each->from == l.from) break_off(*each);
        return;
    default:
        break_off(l);
    }
}

void world::hand_over(side& one) {
    one.end.settle();
    if (!one.end.core().may_be_saved()) return;
    --hand_overs_left_;
    if (random_.chance(1, 6)) {
        ++tally_.hand_overs_failed;
        return one.end.hand_over(true, now_);
    }
    ++tally_.hand_overs;
    for (const auto& end : one.end.links) {
        if (const auto l = link_of(end)) {
            l->whole = false;
            l->from->said_close = false; // If it was on its way it is lost.
        }
        close_pipes(end);
    }
    one.end.hand_over(false, now_);
    one.user.core = &one.end.core();
}

void world::forget_links() {
    const auto needed = [this](const std::unique_ptr<link>& l) {
        if (!l->accepted && !l->up.at_end()) return true;
        for (auto& c : clients_)
            if (c.end.end_of(l->up)) return true;
        for (auto& s : servers_)
            if (s.end.end_of(l->up)) return true;
        return false;
    };
    std::erase_if(links_, [&](const auto& l) { return !needed(l); });
}

} // namespace muxsocks::session_sim
