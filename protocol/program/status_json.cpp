#include "protocol/program/status_json.hpp"

#include "protocol/program/log.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <utility>

namespace muxsocks::status_json {
namespace {

using json = nlohmann::ordered_json;

double seconds_of(std::chrono::system_clock::time_point time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

/// What peers and users have named may be no UTF-8.
std::string text_of(const json& document) {
    return document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

/// Who watches sees no more of them; /v1/users has all.
constexpr std::size_t live_users = 100;

json versioned() { return {{"version", 1}}; }

json of(const link_snapshot& link) {
    return {{"number", link.number},
            {"takes", link.roles},
            {"peer", link.peer},
            {"tls", link.tls},
            {"rtt_seconds", link.rtt_seconds},
            {"tcp_rtt_seconds", link.tcp_rtt_seconds},
            {"sent_packets", link.sent_packets},
            {"retransmits", link.retransmits},
            {"bytes_sent", link.bytes_sent},
            {"bytes_received", link.bytes_received},
            {"age_seconds", link.age_seconds}};
}

json links_of(const session_snapshot& session) {
    auto list = json::array();
    for (const auto& each : session.links)
        list.push_back(of(each));
    return list;
}

json of(const session_snapshot& session) {
    json shown{{"id", session.id},
               {"name", session.name},
               {"state", session.state},
               {"streams", session.streams},
               {"streams_opened", session.streams_opened},
               {"bytes_up", session.bytes_up},
               {"bytes_down", session.bytes_down},
               {"rtt_seconds", session.rtt_seconds},
               {"resumed", session.resumed},
               {"bytes_held", session.bytes_held},
               {"links", links_of(session)}};
    if (!session.user.empty()) shown["user"] = session.user;
    if (!session.reason.empty()) shown["reason"] = session.reason;
    return shown;
}

json of(const stream_snapshot& stream) {
    json shown{{"id", stream.id},
               {"session", stream.session},
               {"session_id", stream.session_id},
               {"bytes_up", stream.bytes_up},
               {"bytes_down", stream.bytes_down},
               {"age_seconds", stream.age_seconds}};
    if (!stream.destination.empty()) shown["destination"] = stream.destination;
    return shown;
}

template <class Element>
json list_of(const std::vector<Element>& elements) {
    auto list = json::array();
    for (const auto& each : elements)
        list.push_back(of(each));
    return list;
}

/// Those that are given.
json limits_of(const user_snapshot& user) {
    auto shown = json::object();
    if (user.sessions_max > 0) shown["sessions"] = user.sessions_max;
    if (user.streams_max > 0) shown["streams"] = user.streams_max;
    if (user.memory_max > 0) shown["memory"] = user.memory_max;
    return shown;
}

json of(const std::string& name, const user_snapshot& user) {
    json shown{{"name", name},
               {"sessions", user.sessions},
               {"streams", user.streams},
               {"bytes_up", user.bytes_up},
               {"bytes_down", user.bytes_down},
               {"limits", limits_of(user)}};
    if (user.rate_up > 0) shown["rate_up"] = user.rate_up;
    if (user.rate_down > 0) shown["rate_down"] = user.rate_down;
    if (user.expires > 0) shown["expires"] = user.expires;
    if (user.quota_bytes > 0) {
        shown["quota_bytes"] = user.quota_bytes;
        shown["quota_used"] = user.quota_used;
    }
    return shown;
}

json users_of(const snapshot& now) {
    auto list = json::array();
    for (const auto& [name, user] : now.users)
        list.push_back(of(name, user));
    return list;
}

/// Those with most streams, or who have moved most.
json busiest_users(const snapshot& now) {
    using entry = std::pair<const std::string, user_snapshot>;
    std::vector<const entry*> all;
    for (const auto& each : now.users)
        all.push_back(&each);
    const auto busier = [](const entry* a, const entry* b) {
        const auto weight = [](const user_snapshot& user) {
            return std::pair(user.streams, user.bytes_up + user.bytes_down);
        };
        return weight(a->second) > weight(b->second);
    };
    const auto count = std::min(all.size(), live_users);
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                      busier);
    all.resize(count);
    std::sort(all.begin(), all.end(),
              [](const entry* a, const entry* b) { return a->first < b->first; });
    auto list = json::array();
    for (const auto each : all)
        list.push_back(of(each->first, each->second));
    return list;
}

json usage_of(const std::string& name, const usage_snapshot& one) {
    json shown{{"name", name},
               {"total_up", one.total_up},
               {"total_down", one.total_down},
               {"per", one.per},
               {"period_up", one.period_up},
               {"period_down", one.period_down},
               {"since", one.since},
               {"last", one.last}};
    if (one.period_begin > 0) shown["period_begin"] = one.period_begin;
    if (one.period_end > 0) shown["period_end"] = one.period_end;
    if (one.quota_bytes > 0) {
        shown["quota_bytes"] = one.quota_bytes;
        shown["quota_used"] = one.quota_used;
    }
    return shown;
}

json problems() {
    auto list = json::array();
    for (const auto& each : log::recent_problems())
        list.push_back({{"time", seconds_of(each.time)},
                        {"level", to_string(each.level)},
                        {"message", each.message}});
    return list;
}

json links_lost_of(const snapshot& now) {
    auto shown = json::object();
    for (std::size_t i = 0; i < link_ends; ++i)
        shown[std::string(to_string(static_cast<link_end>(i)))] = now.counted.links_lost[i];
    return shown;
}

json totals_of(const process_facts& process, const snapshot& now) {
    const bool server = process.role == program_role::server;
    const auto& sessions = now.counted.sessions;
    const auto& denied = now.counted.denied;
    return {{"bytes_up", server ? sessions.bytes_received : sessions.bytes_sent},
            {"bytes_down", server ? sessions.bytes_sent : sessions.bytes_received},
            {"streams_opened", sessions.streams_opened},
            {"resumed", sessions.resumed},
            {"links_lost", links_lost_of(now)},
            {"shed", sessions.shed},
            {"denied", std::accumulate(denied.begin(), denied.end(), std::uint64_t{0})},
            {"auth_failures", now.counted.authentications_failed}};
}

json program_of(const process_facts& process) {
    auto shown = versioned();
    shown["time"] = seconds_of(std::chrono::system_clock::now());
    shown["program"] = program_name(process.role);
    shown["release"] = MUXSOCKS_VERSION;
    shown["started"] = seconds_of(process.started);
    shown["listen"] = process.listen;
    return shown;
}

json status_of(const process_facts& process, const snapshot& now, json users) {
    auto shown = program_of(process);
    shown["ready"] = now.ready;
    shown["streams"] = now.all.streams;
    shown["waiting"] = now.waiting;
    shown["memory_held"] = now.memory_held;
    shown["memory_limit"] = now.memory_limit;
    shown["totals"] = totals_of(process, now);
    shown["sessions_attached"] = now.all.attached;
    shown["sessions_detached"] = now.all.detached;
    shown["links"] = now.all.links;
    shown["sessions"] = list_of(now.sessions);
    if (process.role == program_role::server) {
        shown["unauthenticated_links"] = now.unauthenticated;
        shown["dials"] = now.dials;
        shown["lookups"] = now.lookups;
        shown["user_count"] = now.users.size();
        shown["users"] = std::move(users);
    } else {
        shown["direct"] = {{"open", now.direct},
                           {"opened", now.counted.direct_opened},
                           {"failed", now.counted.direct_failed},
                           {"bytes_up", now.counted.direct_bytes_up},
                           {"bytes_down", now.counted.direct_bytes_down}};
    }
    shown["problems"] = problems();
    return shown;
}

} // namespace

std::string program(const process_facts& process) { return text_of(program_of(process)); }

std::string status(const process_facts& process, const snapshot& now) {
    return text_of(status_of(process, now, users_of(now)));
}

std::string live(const process_facts& process, const snapshot& now) {
    auto shown = status_of(process, now, busiest_users(now));
    shown["busiest_streams"] = list_of(now.streams);
    return text_of(shown);
}

std::string links(const process_facts&, const snapshot& now) {
    auto list = json::array();
    for (const auto& session : now.sessions)
        for (const auto& each : session.links) {
            auto shown = of(each);
            shown["session"] = session.name;
            shown["session_id"] = session.id;
            list.push_back(std::move(shown));
        }
    auto shown = versioned();
    shown["links"] = std::move(list);
    return text_of(shown);
}

std::string sessions(const process_facts&, const snapshot& now) {
    auto shown = versioned();
    shown["sessions"] = list_of(now.sessions);
    return text_of(shown);
}

std::string streams(const process_facts&, const snapshot& now) {
    auto shown = versioned();
    shown["streams"] = list_of(now.streams);
    return text_of(shown);
}

std::string history(const status_history& past) {
    auto list = json::array();
    for (const auto& [link, steps] : past.links()) {
        json shown{{"session_id", link.session}, {"number", link.number}};
        for (const auto* name : {"sent_per_second", "received_per_second", "rtt_seconds",
                                 "sent_packets", "retransmits"})
            shown[name] = json::array();
        for (const auto& each : steps) {
            shown["sent_per_second"].push_back(each.sent);
            shown["received_per_second"].push_back(each.received);
            shown["rtt_seconds"].push_back(each.rtt_seconds);
            shown["sent_packets"].push_back(each.packets);
            shown["retransmits"].push_back(each.retransmits);
        }
        list.push_back(std::move(shown));
    }
    auto shown = versioned();
    shown["interval_seconds"] = status_history::interval.count();
    shown["up_per_second"] = json::array();
    shown["down_per_second"] = json::array();
    for (const auto& each : past.traffic()) {
        shown["up_per_second"].push_back(each.up);
        shown["down_per_second"].push_back(each.down);
    }
    shown["links"] = std::move(list);
    return text_of(shown);
}

std::string users(const process_facts&, const snapshot& now) {
    auto shown = versioned();
    shown["users"] = users_of(now);
    return text_of(shown);
}

std::string usage(const process_facts&, const snapshot& now) {
    auto list = json::array();
    for (const auto& [name, one] : now.usage)
        list.push_back(usage_of(name, one));
    auto shown = versioned();
    shown["users"] = std::move(list);
    return text_of(shown);
}

std::string error(const std::string& sentence) {
    auto shown = versioned();
    shown["error"] = sentence;
    return text_of(shown);
}

} // namespace muxsocks::status_json
