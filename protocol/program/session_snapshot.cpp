#include "protocol/program/session_snapshot.hpp"

#include "protocol/program/path_text.hpp"

#include <utility>

namespace muxsocks {
namespace {

double seconds_of(std::chrono::nanoseconds time) {
    return std::chrono::duration<double>(time).count();
}

double seconds_since(std::chrono::steady_clock::time_point then) {
    return seconds_of(std::chrono::steady_clock::now() - then);
}

link_snapshot show_link(const session_driver& driver, link_number number, const link& on) {
    const auto path = on.path();
    link_snapshot shown;
    shown.number = number;
    shown.roles = role_text(driver.roles(), number);
    shown.takes = shown.roles + (on.has_bbr() ? " by BBR" : "") + ": " + path_text(path);
    shown.peer = on.peer_text();
    shown.tls = on.engine() ? on.engine()->agreed() : "plain";
    // On a path through a proxy TCP's round trip is that to the proxy; both are told.
    shown.rtt_seconds = seconds_of(driver.core().rtt());
    shown.tcp_rtt_seconds = seconds_of(path.rtt);
    shown.sent_packets = path.sent;
    shown.retransmits = path.retransmits;
    shown.bytes_sent = path.acked_bytes;
    shown.bytes_received = path.received_bytes;
    shown.age_seconds = seconds_since(on.since());
    return shown;
}

} // namespace

session_snapshot show(const session_driver& driver, program_role role, std::string name) {
    const auto& core = driver.core();
    const auto& counted = core.statistics();
    const bool server = role == program_role::server;
    session_snapshot shown;
    shown.id = driver.serial();
    shown.name = std::move(name);
    shown.streams = core.stream_count();
    shown.streams_opened = counted.streams_opened;
    shown.bytes_up = server ? counted.bytes_received : counted.bytes_sent;
    shown.bytes_down = server ? counted.bytes_sent : counted.bytes_received;
    shown.resumed = resumed_of(counted);
    shown.bytes_held = core.memory_held();
    shown.rtt_seconds = seconds_of(core.rtt());
    shown.state = "detached";
    driver.for_each_link([&](link_number number, const link& on) {
        shown.state = "attached";
        shown.links.push_back(show_link(driver, number, on));
    });
    return shown;
}

void add(const session_driver& driver, session_sums& to) {
    const auto& core = driver.core();
    to.streams += core.stream_count();
    to.bytes_held += core.memory_held();
    std::uint64_t links = 0;
    driver.for_each_link([&](link_number, const link&) { ++links; });
    to.links += links;
    if (links == 0) {
        ++to.detached;
        return;
    }
    ++to.attached;
    to.rtts.push_back(static_cast<float>(seconds_of(core.rtt())));
}

void show_streams(session_driver& driver, const std::string& name, heaviest<stream_snapshot>& to) {
    driver.core().for_each_stream([&](stream& s) {
        const auto owner = static_cast<const stream_owner*>(s.context);
        if (!owner || s.released) return;
        shown_stream facts;
        owner->describe(facts);
        const auto carried = facts.bytes_up + facts.bytes_down;
        if (!to.wants(carried)) return;
        to.add(carried, {s.id, driver.serial(), name, std::move(facts.destination), facts.bytes_up,
                         facts.bytes_down,
                         facts.began == std::chrono::steady_clock::time_point{}
                             ? 0
                             : seconds_since(facts.began)});
    });
}

} // namespace muxsocks
