#include "protocol/program/status_history.hpp"

#include <utility>

namespace muxsocks {
namespace {

/// Counters may begin anew where a link is another process's from now on.
std::uint64_t risen(std::uint64_t now, std::uint64_t before) {
    return now > before ? now - before : 0;
}

std::uint64_t per_second(std::uint64_t count, double seconds) {
    return static_cast<std::uint64_t>(static_cast<double>(count) / seconds);
}

template <typename Step>
void append(std::deque<Step>& to, const Step& one) {
    if (to.size() == status_history::steps_max) to.pop_front();
    to.push_back(one);
}

} // namespace

void status_history::add(program_role role, const snapshot& now, time_point at) {
    const auto before = std::exchange(last_, at);
    const auto seconds = before ? std::chrono::duration<double>(at - *before).count() : 0.0;
    const auto& sessions = now.counted.sessions;
    const bool server = role == program_role::server;
    const auto up =
        risen(server ? sessions.bytes_received : sessions.bytes_sent,
              std::exchange(last_up_, server ? sessions.bytes_received : sessions.bytes_sent));
    const auto down =
        risen(server ? sessions.bytes_sent : sessions.bytes_received,
              std::exchange(last_down_, server ? sessions.bytes_sent : sessions.bytes_received));
    if (seconds > 0)
        append(traffic_, traffic_step{per_second(up, seconds), per_second(down, seconds)});
    std::map<link_id, past> next;
    for (const auto& session : now.sessions)
        for (const auto& each : session.links) {
            const auto known = links_.find({session.id, each.number});
            auto& kept = next[{session.id, each.number}];
            if (known != links_.end()) kept = std::move(known->second);
            add(kept, known != links_.end(), each, seconds);
        }
    links_ = std::move(next);
}

/// One that is new since the last step has begun within it; of others what was before is not known.
void status_history::add(past& to, bool known, const link_snapshot& now, double seconds) {
    const auto before = std::exchange(
        to.last, {now.bytes_sent, now.bytes_received, now.sent_packets, now.retransmits});
    if (seconds <= 0 || (!known && now.age_seconds > seconds)) return;
    append(to.steps, link_step{per_second(risen(now.bytes_sent, before.sent), seconds),
                               per_second(risen(now.bytes_received, before.received), seconds),
                               now.rtt_seconds, risen(now.sent_packets, before.packets),
                               risen(now.retransmits, before.retransmits)});
}

std::map<status_history::link_id, std::deque<status_history::link_step>>
status_history::links() const {
    std::map<link_id, std::deque<link_step>> all;
    for (const auto& [id, kept] : links_)
        all.emplace(id, kept.steps);
    return all;
}

} // namespace muxsocks
