#include "protocol/program/session_snapshot.hpp"

#include "protocol/link/path_text.hpp"

#include <utility>

namespace muxsocks {
namespace {

double seconds_since(std::chrono::steady_clock::time_point then) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - then).count();
}

} // namespace

session_snapshot show(const session_driver& driver, program_role role, std::string name) {
    const auto& core = driver.core();
    const auto& counted = core.statistics();
    const bool server = role == program_role::server;
    session_snapshot shown;
    shown.name = std::move(name);
    shown.streams = core.stream_count();
    shown.streams_opened = counted.streams_opened;
    shown.bytes_up = server ? counted.bytes_received : counted.bytes_sent;
    shown.bytes_down = server ? counted.bytes_sent : counted.bytes_received;
    shown.resumed = resumed_of(counted);
    shown.bytes_held = core.memory_held();
    shown.rtt_seconds = std::chrono::duration<double>(core.rtt()).count();
    shown.state = "detached";
    driver.for_each_link([&](link_number number, const link& on) {
        shown.state = "attached";
        shown.links.push_back({number,
                               std::string(role_text(driver.roles(), number)) +
                                   (on.has_bbr() ? " by BBR" : "") + ": " + path_text(on.path()),
                               on.peer_text(), on.engine() ? on.engine()->agreed() : "plain",
                               shown.rtt_seconds, seconds_since(on.since())});
    });
    return shown;
}

void add(const session_driver& driver, session_sums& to) {
    const auto& core = driver.core();
    to.streams += core.stream_count();
    to.bytes_held += core.memory_held();
    if (!driver.current_link()) {
        ++to.detached;
        return;
    }
    ++to.attached;
    ++to.links;
    to.rtts.push_back(std::chrono::duration<float>(core.rtt()).count());
}

void show_streams(session_driver& driver, const std::string& name,
                  std::vector<stream_snapshot>& to) {
    driver.core().for_each_stream([&](stream& s) {
        const auto owner = static_cast<const stream_owner*>(s.context);
        if (!owner || s.released) return;
        shown_stream facts;
        owner->describe(facts);
        to.push_back({s.id, name, std::move(facts.destination), facts.bytes_up, facts.bytes_down,
                      facts.began == std::chrono::steady_clock::time_point{}
                          ? 0
                          : seconds_since(facts.began)});
    });
}

} // namespace muxsocks
