#include "tests/fuzz/two_sessions.hpp"

#include "tests/sim/test_crypto.hpp"
#include "tests/vectors/token_key.hpp"

#include <algorithm>

namespace muxsocks::fuzz {
namespace {

constexpr std::array<std::uint8_t, 32> exporter{1, 2, 3};

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
    settings.crypto = sim::test_crypto();
    settings.max_links = 3;
    settings.user = "alice";
    settings.key = tests::token_key(settings.crypto, "the token");
    settings.find_user = [key = *settings.key](std::string_view user) {
        return user == "alice" ? std::optional(user_access{key, 0}) : std::nullopt;
    };
    return settings;
}

two_sessions::two_sessions(const session_settings& for_both)
    : client(with(for_both, role::client, client_pool), client_user, now),
      server(with(for_both, role::server, server_pool), server_user, now) {
    client_user.core = &client.core();
    server_user.core = &server.core();
}

two_sessions::line& two_sessions::add_line(link_number number) {
    lines.push_back(std::make_unique<line>());
    auto& added = *lines.back();
    added.number = number;
    client.add(number, added.up, added.down);
    return added;
}

void two_sessions::establish() {
    auto& first = add_line(0);
    server.add(0, first.down, first.up);
    client.core().on_link(exporter, now);
    server.core().on_link(exporter, now);
    const auto both = [this] { return client.core().established() && server.core().established(); };
    require(run_until(both), "the handshake came to no end");
}

void two_sessions::cut(std::size_t which) {
    const auto gone = std::move(lines[which]);
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(which));
    for (const auto side : {&client, &server})
        if (side->find(gone->number)) side->lose(gone->number, now);
}

bool two_sessions::join() {
    auto& added = add_line(client.core().join(exporter, now));
    client.send(added.number, everything, now);
    std::vector<std::uint8_t> came;
    added.up.read(came, everything, now);
    const bool whole =
        came.size() >= frame_header_size && came.size() >= frame_at(came.data()).size();
    const auto asked =
        whole ? decode_join(frame_at(came.data()).subspan(frame_header_size)) : std::nullopt;
    if (!asked || server.core().on_join(*asked, exporter, now)) return false;
    came.erase(came.begin(),
               came.begin() + static_cast<std::ptrdiff_t>(frame_at(came.data()).size()));
    server.add(added.number, added.down, added.up, came);
    server.settle();
    return true;
}

void two_sessions::move(std::size_t which, bool up, std::size_t sent, std::size_t received) {
    const auto number = lines[which]->number;
    auto& from = up ? client : server;
    from.send(number, sent, now);
    from.settle();
    (up ? server : client).receive(number, received, now);
}

bool two_sessions::move() {
    bool anything = false;
    for (const auto side : {&client, &server}) {
        side->settle();
        anything |= side->time_out(now);
        for (const auto& each : lines) {
            if (!side->find(each->number)) continue;
            anything |= side->send(each->number, everything, now);
            anything |= side->receive(each->number, everything, now);
        }
    }
    // Where one side has given a link up the other sees its end.
    for (std::size_t i = lines.size(); i-- > 0;)
        if (!client.find(lines[i]->number) || !server.find(lines[i]->number)) cut(i);
    return anything;
}

bool two_sessions::step(instant end) {
    if (move()) return true;
    std::optional<instant> next;
    const auto add = [&next](std::optional<instant> at) {
        if (at && (!next || *at < *next)) next = at;
    };
    add(client.core().deadline());
    add(server.core().deadline());
    for (const auto& each : lines) {
        add(each->down.next_arrival());
        add(each->up.next_arrival());
    }
    if (!next || *next > end) return false;
    now = std::max(now, *next);
    return true;
}

} // namespace muxsocks::fuzz
