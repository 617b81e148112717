// Links: how they begin, are handed over, break and end.

#include "tests/sim/world.hpp"

#include <algorithm>

namespace muxsocks::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t handshake_bytes = 400; ///< Of one direction, about.

} // namespace

// ---- The client's side

void world::start_client() {
    auto& c = clients_.emplace_back(plan_.client, random_.next(), now_);
    c.user.streams_max = plan_.server.max_streams;
    c.end.output_max = plan_.output_max;
    auto& l = dial(c);
    c.current = &l;
    c.end.use(&l.up, &l.down);
    c.end.core.on_link(l.exporter, now_);
}

world::link& world::dial(client_side& from) {
    pipe::script up{plan_.pipe_capacity, plan_.delay};
    pipe::script down = up;
    if (!calm_ && cuts_left_ > 0 && random_.chance(1, 4)) {
        // Breaks while it is being agreed upon, at a byte that the dice choose.
        auto& broken = random_.chance(1, 2) ? up : down;
        broken.cut_after = random_.below(handshake_bytes);
        --cuts_left_;
        ++tally_.cuts;
        ++(from.user.established ? tally_.cuts_in_resume : tally_.cuts_in_handshake);
    }
    auto& l = *links_.emplace_back(std::make_unique<link>(up, down));
    l.from = &from;
    l.accepted_until = now_ + seconds(10);
    for (auto& byte : l.exporter)
        byte = static_cast<std::uint8_t>(random_.next());
    return l;
}

void world::ask(client_side& c, bool elsewhere) {
    auto& l = dial(c);
    l.elsewhere = elsewhere;
    c.asking = &l;
    c.handing_over = c.end.core.attached();
    c.asking_until = now_ + seconds(5);
    c.answer.clear();
    l.received = session_faults::received(c.end.core);
    l.resume = c.end.core.make_resume(l.exporter, now_);
}

bool world::mind_client(client_side& c) {
    auto& core = c.end.core;
    bool anything = c.end.time_out(now_);
    c.end.settle();
    if (c.asking && !core.closed()) anything |= hear_answer(c);
    anything |= c.end.send(random_.below(plan_.step_bytes), now_);
    if (core.attached() && core.waits_for_acks()) ++tally_.replay_waits;
    anything |= c.end.receive(random_.below(plan_.step_bytes), now_);
    if (c.current) {
        const auto& in = c.current->down;
        if (in.at_end() || (in.broken() && random_.chance(1, 5))) {
            lose(c);
            return true;
        }
        if (!core.attached() && !core.closed()) {
            lose(c); // Keepalive has given it up.
            return true;
        }
    }
    if (core.closed()) {
        if (c.asking) {
            close_by_client(*c.asking);
            c.asking = nullptr;
        }
        if (c.linger_until == instant{}) c.linger_until = now_ + seconds(1);
        const bool flushed = !core.wants_turn() && c.end.flushed();
        if (c.current && (flushed || !core.attached() || now_ >= c.linger_until)) lose(c);
        return anything;
    }
    if (!core.attached() && !c.asking && now_ >= c.dial_at) {
        ask(c);
        return true;
    }
    return anything;
}

bool world::hear_answer(client_side& c) {
    auto& l = *c.asking;
    auto& core = c.end.core;
    if (now_ >= c.asking_until || (!calm_ && random_.chance(1, 500))) {
        // Given up, though it may still arrive.
        l.up.close();
        l.down.cut(0);
        c.asking = nullptr;
        return true;
    }
    const auto sent = l.up.write(l.resume, now_);
    l.resume.erase(l.resume.begin(), l.resume.begin() + static_cast<std::ptrdiff_t>(sent));
    const bool fresh = l.down.read(c.answer, random_.below(plan_.step_bytes), now_) > 0;
    const bool was_attached = core.attached();
    const auto result = core.on_resume_answer(c.answer, now_);
    switch (result.status) {
    case session::resume_status::need_more:
        c.answer.erase(c.answer.begin(),
                       c.answer.begin() + static_cast<std::ptrdiff_t>(result.used));
        if (!l.down.at_end()) return fresh || sent > 0;
        c.asking = nullptr;
        c.dial_at = now_ + milliseconds(random_.below(200));
        return true;
    case session::resume_status::resumed: {
        ++tally_.resumes;
        broken_.spoil(core, l.received);
        if (c.handing_over) ++tally_.hand_overs;
        if (was_attached) ++tally_.seamless;
        if (c.current) close_by_client(*c.current);
        c.current = &l;
        c.asking = nullptr;
        const auto rest = c.answer.begin() + static_cast<std::ptrdiff_t>(result.used);
        c.end.use(&l.up, &l.down, {rest, c.answer.end()});
        c.end.settle();
        return true;
    }
    case session::resume_status::failed:
        require(result.failure.code == resume_failure::unknown_session,
                "a RESUME failed for another reason than that the session is over");
        close_by_client(l);
        c.asking = nullptr;
        if (core.attached()) {
            // The old link goes on; if the server has given the session up, its end will be seen.
            if (l.elsewhere) ++tally_.elsewhere;
            return true;
        }
        require(l.elsewhere || !c.peer || c.peer->end.core.closed(),
                "the server does not know a session it has");
        core.close(close_code::normal, errc::resume_refused, "");
        c.end.settle();
        return true;
    case session::resume_status::fault:
        throw violation("the answer to RESUME is wrong: " + result.error.message());
    }
    return true;
}

void world::lose(client_side& c) {
    close_by_client(*c.current);
    c.current = nullptr;
    c.end.drop_link();
    c.end.core.on_link_lost(errc::link_lost, now_);
    c.end.settle();
    c.dial_at = now_ + milliseconds(random_.below(200));
}

world::client_side* world::active_client() {
    for (auto& c : clients_)
        if (c.end.core.accepts_opens() && !c.user.told_to_go) return &c;
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
        close_by_server(l);
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
        accept_resume(l);
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
    s.current = &l;
    s.end.use(&l.down, &l.up, std::move(l.first));
    s.end.core.on_link(l.exporter, now_);
}

void world::accept_resume(link& l) {
    const auto header = decode_header(l.first.data());
    const auto frame = decode_resume(bytes_view(l.first).subspan(frame_header_size, header.length));
    require(frame.has_value(), "a RESUME cannot be decoded");
    std::optional<resume_fail_frame> failure = resume_fail_frame{};
    for (auto& s : servers_) {
        if (l.elsewhere || s.end.core.id() != frame->id || !s.end.core.resumable()) continue;
        failure = s.end.core.on_resume(*frame, l.exporter, now_);
        if (failure) break;
        // The client learns of the end of its old link before the answer, or not at all.
        if (s.current && random_.chance(1, 2)) close_by_server(*s.current);
        s.current = &l;
        const auto rest = l.first.begin() + frame_header_size + header.length;
        s.end.use(&l.down, &l.up, {rest, l.first.end()});
        s.end.settle();
        return;
    }
    const auto payload = encode(*failure);
    std::vector<std::uint8_t> out(frame_header_size);
    encode_header(out.data(), {0, flag::ctrl, static_cast<std::uint16_t>(payload.size())});
    out.insert(out.end(), payload.begin(), payload.end());
    l.down.write(out, now_);
    l.down.close();
    l.up.cut(0);
}

bool world::mind_server(server_side& s) {
    auto& core = s.end.core;
    bool anything = s.end.time_out(now_);
    s.end.settle();
    anything |= s.end.send(random_.below(plan_.step_bytes), now_);
    if (core.attached() && core.waits_for_acks()) ++tally_.replay_waits;
    anything |= s.end.receive(random_.below(plan_.step_bytes), now_);
    if (s.current) {
        const auto& in = s.current->up;
        const bool gone = in.at_end() || (in.broken() && random_.chance(1, 5));
        if (gone || (!core.attached() && !core.closed())) {
            lose(s);
            return true;
        }
    }
    if (core.closed()) {
        if (s.linger_until == instant{}) s.linger_until = now_ + seconds(1);
        const bool flushed = !core.wants_turn() && s.end.flushed();
        if (s.current && (flushed || !core.attached() || now_ >= s.linger_until)) lose(s);
        return anything;
    }
    if (!core.attached() && s.peer->end.core.closed()) {
        // Nobody will ever resume it.
        core.close(close_code::normal, errc::closed_locally, "");
        s.end.settle();
        return true;
    }
    return anything;
}

void world::lose(server_side& s) {
    close_by_server(*s.current);
    s.current = nullptr;
    s.end.drop_link();
    s.end.core.on_link_lost(errc::link_lost, now_);
    s.end.settle();
}

// ---- How links end

void world::close_by_client(link& l) {
    // What has left may still arrive; what comes is read no more.
    if (!l.up.broken()) l.up.cut(random_.below(l.up.in_flight() + 1));
    l.down.cut(0);
}

void world::close_by_server(link& l) {
    if (!l.down.broken()) l.down.cut(random_.below(l.down.in_flight() + 1));
    l.up.cut(0);
}

template <typename Side>
void world::lose_unnoticed(Side& side) {
    side.current = nullptr;
    side.end.drop_link();
    side.end.core.on_link_lost(errc::link_lost, now_);
    side.end.settle();
}

void world::cut_something() {
    if (links_.empty()) return;
    auto& l = *links_[random_.below(links_.size())];
    if (l.up.broken() && l.down.broken()) return;
    --cuts_left_;
    ++tally_.cuts;
    auto& c = *l.from;
    if (!c.user.established) ++tally_.cuts_in_handshake;
    if (c.asking == &l) ++tally_.cuts_in_resume;
    if (c.asking && c.current && c.end.core.attached()) ++tally_.cuts_of_two;
    bool replaying = c.current == &l && c.end.core.replaying();
    for (const auto& s : servers_) {
        if (s.current != &l) continue;
        if (s.end.core.awaits_start()) ++tally_.cuts_in_start;
        replaying = replaying || s.end.core.replaying();
    }
    if (replaying) ++tally_.cuts_in_replay;
    switch (random_.below(12)) {
    case 0: // Nothing arrives any more, and nobody is told.
        l.up.stall();
        ++tally_.swallowed;
        [[fallthrough]];
    case 1:
        l.down.stall();
        ++tally_.swallowed;
        return;
    case 2: // The client alone notices; what it has sent goes on arriving.
        if (c.current == &l) lose_unnoticed(c);
        return;
    case 3:
        for (auto& s : servers_)
            if (s.current == &l) lose_unnoticed(s);
        return;
    default:
        l.up.cut(random_.below(l.up.in_flight() + 1));
        l.down.cut(random_.below(l.down.in_flight() + 1));
    }
}

void world::forget_links() {
    const auto needed = [this](const std::unique_ptr<link>& l) {
        if (!l->accepted && !l->up.at_end()) return true;
        for (const auto& c : clients_)
            if (c.current == l.get() || c.asking == l.get()) return true;
        for (const auto& s : servers_)
            if (s.current == l.get()) return true;
        return false;
    };
    std::erase_if(links_, [&](const auto& l) { return !needed(l); });
}

} // namespace muxsocks::sim
