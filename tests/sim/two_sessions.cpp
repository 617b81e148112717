#include "tests/sim/two_sessions.hpp"

#include "tests/sim/test_crypto.hpp"
#include "tests/vectors/token_key.hpp"

#include <algorithm>

namespace muxsocks::sim {
namespace {

bytes_view bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

session_settings with(session_settings settings, role side, chunk_pool& pool) {
    settings.side = side;
    if (!settings.pool) settings.pool = &pool;
    return settings;
}

} // namespace

// ---- The users

conversation& recording_user::open(std::string_view request) {
    auto& c = streams.emplace_back();
    c.s = &core->open(bytes_of(request), &c);
    return c;
}

void recording_user::send(conversation& c, std::string_view bytes, bool end) {
    c.to_send += bytes;
    c.end_after = end;
    core->on_readable(*c.s);
}

stream_user::read_result recording_user::read(const read_slot& slot) {
    ++reads;
    auto& c = *static_cast<conversation*>(slot.subject->context);
    read_result result;
    for (std::size_t i = 0; i < slot.count && !c.to_send.empty(); ++i) {
        const auto part = std::min(slot.places[i].size(), c.to_send.size());
        std::copy_n(c.to_send.begin(), part, slot.places[i].begin());
        c.to_send.erase(0, part);
        result.bytes += part;
    }
    if (!c.to_send.empty())
        result.outcome = read_outcome::more;
    else if (c.end_after)
        result.outcome = read_outcome::end;
    return result;
}

void recording_user::on_event(const event& what) {
    events.push_back(what.type);
    if (what.type == event::kind::opened) {
        auto& c = streams.emplace_back();
        c.s = what.subject;
        c.s->context = &c;
        core->accept(*c.s);
        return;
    }
    if (!what.subject) return;
    auto& c = *static_cast<conversation*>(what.subject->context);
    if (what.type == event::kind::readable) take(c);
    if (what.type == event::kind::reset) c.reset = what.error;
}

void recording_user::take(conversation& c) {
    if (!c.reading) return;
    std::array<bytes_view, 3> views;
    while (const auto used = core->peek(*c.s, views)) {
        std::size_t bytes = 0;
        for (const auto view : std::span(views).first(used)) {
            c.received.append(view.begin(), view.end());
            bytes += view.size();
        }
        core->consume(*c.s, bytes, {});
    }
    c.ended = c.s->at_end();
}

void recording_user::resume_reading(conversation& c) {
    c.reading = true;
    take(c);
}

void recording_user::release(conversation& c) {
    core->release(*c.s);
    c.s = nullptr;
}

bool recording_user::saw(event::kind type) const {
    return std::find(events.begin(), events.end(), type) != events.end();
}

// ---- The two of them

session_settings two_sessions::default_settings() {
    session_settings settings;
    settings.crypto = test_crypto();
    settings.user = "alice";
    settings.key = tests::token_key(settings.crypto, "the token");
    settings.find_user = [key = *settings.key](std::string_view user) {
        return user == "alice" ? std::optional(user_access{key, 0}) : std::nullopt;
    };
    return settings;
}

two_sessions::two_sessions(session_settings for_both) : two_sessions(for_both, for_both) {}

two_sessions::two_sessions(session_settings for_client, session_settings for_server)
    : client(with(std::move(for_client), role::client, client_pool), client_user, now),
      server(with(std::move(for_server), role::server, server_pool), server_user, now) {
    client_user.core = &client.core;
    server_user.core = &server.core;
}

void two_sessions::connect(const pipe::script& script_up, const pipe::script& script_down) {
    up = pipe(script_up);
    down = pipe(script_down);
    client.use(&up, &down);
    server.use(&down, &up);
    const std::array<std::uint8_t, 32> exporter{1, 2, 3};
    client.core.on_link(exporter, now);
    server.core.on_link(exporter, now);
}

void two_sessions::establish(const pipe::script& script_up, const pipe::script& script_down) {
    connect(script_up, script_down);
    const auto both = [this] { return client.core.established() && server.core.established(); };
    require(run_until(both), "the handshake came to no end");
}

void two_sessions::cut() {
    client.drop_link();
    server.drop_link();
    client.core.on_link_lost(errc::link_lost, now);
    server.core.on_link_lost(errc::link_lost, now);
    client.settle();
    server.settle();
}

bool two_sessions::resume(const pipe::script& script_up, const pipe::script& script_down) {
    const std::array<std::uint8_t, 32> exporter{4, 5, 6};
    const auto asked = client.core.make_resume(exporter, now);
    const auto frame = decode_resume(bytes_view(asked).subspan(frame_header_size));
    require(frame.has_value(), "a RESUME cannot be decoded");
    if (server.core.on_resume(*frame, exporter, now)) return false;
    up = pipe(script_up);
    down = pipe(script_down);
    server.use(&down, &up);
    server.settle();
    std::vector<std::uint8_t> answer;
    while (true) {
        const auto result = client.core.on_resume_answer(answer, now);
        if (result.status == session::resume_status::need_more) {
            server.send(everything, now);
            if (down.read(answer, everything, now) > 0) continue;
            if (!down.next_arrival()) return false;
            now = *down.next_arrival();
            continue;
        }
        if (result.status != session::resume_status::resumed) return false;
        answer.erase(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(result.used));
        client.use(&up, &down, answer);
        client.settle();
        return true;
    }
}

bool two_sessions::move() {
    bool anything = false;
    for (const auto side : {&client, &server}) {
        side->settle();
        anything |= side->time_out(now);
        anything |= side->send(everything, now);
        anything |= side->receive(everything, now);
        if (side->has_link() && !side->core.attached()) side->drop_link();
    }
    return anything;
}

bool two_sessions::step(instant end) {
    if (move()) return true;
    std::optional<instant> next;
    const auto add = [&next](std::optional<instant> at) {
        if (at && (!next || *at < *next)) next = at;
    };
    add(client.core.deadline());
    add(server.core.deadline());
    if (client.has_link()) add(down.next_arrival());
    if (server.has_link()) add(up.next_arrival());
    if (!next || *next > end) return false;
    now = std::max(now, *next);
    return true;
}

} // namespace muxsocks::sim
