#include "protocol/program/snapshot.hpp"

#include "protocol/program/log.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace muxsocks {
namespace {

template <class Element>
void move_behind(std::vector<Element>& to, std::vector<Element>&& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

} // namespace

std::string describe(const session_snapshot& session) {
    return fmt::format("{} streams, {} opened, {} bytes up, {} bytes down, round trip {:.1f} ms, "
                       "{} resumed, {} bytes held",
                       session.streams, session.streams_opened, session.bytes_up,
                       session.bytes_down, session.rtt_seconds * 1000, session.resumed,
                       session.bytes_held);
}

user_snapshot& user_snapshot::operator+=(const user_snapshot& other) {
    sessions += other.sessions;
    streams += other.streams;
    bytes_up += other.bytes_up;
    bytes_down += other.bytes_down;
    sessions_max = std::max(sessions_max, other.sessions_max);
    streams_max = std::max(streams_max, other.streams_max);
    memory_max = std::max(memory_max, other.memory_max);
    return *this;
}

session_sums& session_sums::operator+=(session_sums&& other) {
    attached += other.attached;
    detached += other.detached;
    down += other.down;
    links += other.links;
    streams += other.streams;
    bytes_held += other.bytes_held;
    move_behind(rtts, std::move(other.rtts));
    return *this;
}

snapshot& snapshot::operator+=(snapshot&& part) {
    counted += part.counted;
    all += std::move(part.all);
    move_behind(sessions, std::move(part.sessions));
    move_behind(streams, std::move(part.streams));
    for (const auto& [name, user] : part.users)
        users[name] += user;
    waiting += part.waiting;
    direct += part.direct;
    dials += part.dials;
    lookups += part.lookups;
    lookups_waiting += part.lookups_waiting;
    unauthenticated += part.unauthenticated;
    memory_held += part.memory_held;
    memory_limit += part.memory_limit;
    ready = ready || part.ready;
    return *this;
}

void snapshot::keep(const snapshot_request& asked) {
    const auto heavier = [](const auto& a, const auto& b) { return weight_of(a) > weight_of(b); };
    std::sort(streams.begin(), streams.end(), heavier);
    if (streams.size() > asked.streams) streams.resize(asked.streams);
    if (asked.sessions == snapshot_request::all) return;
    std::sort(sessions.begin(), sessions.end(), heavier);
    if (sessions.size() > asked.sessions) sessions.resize(asked.sessions);
    std::sort(sessions.begin(), sessions.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
}

} // namespace muxsocks
