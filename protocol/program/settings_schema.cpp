#include "protocol/program/settings_schema.hpp"

#include "protocol/program/local_sockets.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/resources.hpp"

#include <algorithm>
#include <fstream>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace muxsocks {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kib = 1ULL << 10;
constexpr std::uint64_t mib = 1ULL << 20;
constexpr std::uint64_t gib = 1ULL << 30;
constexpr std::uint64_t tib = 1ULL << 40;

/// TCP_CA_NAME_MAX of the kernel, without the final zero.
constexpr std::size_t congestion_name_max = 15;

/// HELLO says it in one byte; more than a few links never help, nor do they at once.
constexpr std::uint32_t session_links_max = 16;

/// What the kernel offers, for an error: "reno cubic".
std::string available_congestion_controls() {
    std::ifstream file("/proc/sys/net/ipv4/tcp_available_congestion_control");
    std::string names;
    std::getline(file, names);
    return names;
}

} // namespace

void bind_keepalive(config_section& root, keepalive_settings& keepalive,
                    tcp_keepalive_settings& tcp, program_role role) {
    const bool is_server = role == program_role::server;
    root.section("keepalive", [&](config_section& section) {
        section.field("interval", keepalive.interval, kinds::duration(10ms, 1h),
                      "Silence on the link after which a PING is sent.");
        section.field("timeout", keepalive.timeout, kinds::duration(10ms, 1h),
                      "Further silence after which the link counts as dead.");
        section.section("tcp", [&](config_section& probes) {
            probes.field("idle", tcp.idle, kinds::duration(1s, 9h, true),
                         is_server
                             ? "Silence on a connection with a target after which TCP probes "
                               "it, in whole seconds: so a peer that is gone is noticed, and "
                               "no NAT forgets the connection."
                             : "Silence on an application's connection after which TCP probes "
                               "it, in whole seconds: so a peer that is gone is noticed, and "
                               "no NAT forgets the connection.");
            probes.field("interval", tcp.interval, kinds::duration(1s, 9h),
                         "The time between such probes.");
            probes.field("count", tcp.count, kinds::number(1, 127),
                         "Probes without an answer after which the connection is reset.");
        });
    });
}

void bind_memory(config_section& root, memory_settings& memory) {
    root.section("memory", [&](config_section& section) {
        section.field("stream_window", memory.stream_window, kinds::size(64 * kib, gib),
                      "The most that the receive window of one stream grows to.");
        section.field(
            "session", memory.session, kinds::size(mib, tib),
            "What one session may hold of data that was not read or not acknowledged yet. "
            "Over it, streams that do not read are reset.");
        section.field(
            "total", memory.total, kinds::size(mib, 16 * tib),
            "The same for all sessions of the process together.",
            {.default_text = "a quarter of the memory, or of the cgroup's limit if that is lower"});
    });
}

void bind_resume(config_section& root, resume_settings& resume, program_role role) {
    const bool is_server = role == program_role::server;
    root.section("resume", [&](config_section& section) {
        section.field(
            "enabled", resume.enabled, kinds::boolean(),
            "Whether streams survive the loss of their link. Both sides must agree to it.");
        section.field("timeout", resume.timeout, kinds::duration(100ms, 24h),
                      is_server
                          ? "How long a session without a link is kept for its client."
                          : "How long streams wait for a new link. The server's value binds if "
                            "it is lower.");
        if (!is_server) return;
        section.field("sessions", resume.sessions, kinds::number(1, 1'000'000),
                      "Sessions without a link that are kept at once; `memory.total` may allow "
                      "fewer. One more drops the oldest.");
        resume.sessions_per_user =
            section.former("sessions_per_user", kinds::number(1, 100'000), "limits.user.sessions");
    });
}

void bind_timeouts(config_section& root, timeout_settings& timeouts, program_role role) {
    const bool is_server = role == program_role::server;
    const auto limit = kinds::duration(10ms, 1h);
    const auto off_or_limit = kinds::duration(10ms, 720h, true);
    root.section("timeouts", [&](config_section& section) {
        section.field("connect", timeouts.connect, limit,
                      is_server
                          ? "To connect to a target, its name's resolution and waiting for a "
                            "free dial included."
                          : "To connect to the server (TCP), or to a destination of `direct`. With "
                            "`via`, for the connection with the proxy, and again for the proxy's "
                            "with the server.");
        section.field("handshake", timeouts.handshake, limit,
                      "For the TLS handshake, and again for HELLO and AUTH after it.");
        section.field("request", timeouts.request, limit,
                      is_server ? "For the SOCKS request to arrive on a stream that was opened."
                                : "For the SOCKS negotiation and request of an application.");
        section.field("frame", timeouts.frame, limit,
                      "For the rest of a frame once its first byte has arrived.");
        if (!is_server) {
            section.field("wait", timeouts.wait, limit,
                          "How long a request waits for a link, or for a stream while the server "
                          "allows no more, before it is refused.");
        }
        section.field("drain", timeouts.drain, kinds::duration(0ms, 24h),
                      "How long streams may go on after SIGTERM or SIGINT.");
        section.field("idle", timeouts.idle, off_or_limit,
                      "A stream that carries no byte in either direction for that long is ended.");
        section.field("half_closed", timeouts.half_closed, off_or_limit,
                      "A stream that has ended in one direction and carries no byte in the other "
                      "for that long is ended.");
        section.field("udp_idle", timeouts.udp_idle, kinds::duration(1s, 24h),
                      "A UDP association or tunnel that carries no datagram in either direction "
                      "for that long is ended.");
    });
}

void bind_link(config_section& root, link_settings& link, program_role role) {
    const bool is_server = role == program_role::server;
    root.section("link", [&](config_section& section) {
        section.field(
            "max", link.max, kinds::number(1, session_links_max),
            is_server ? "TLS links that one session may have at once. Clients open those that "
                        "help, three at most; one more lets a new one replace a dead one."
                      : "TLS links of a session at once. It has one, and opens others where "
                        "downloads or lost packets would hold up small messages. With 1 it never "
                        "has more. The server's value binds if it is lower.");
        section.field("congestion", link.congestion, kinds::text(0, congestion_name_max),
                      "TCP congestion control of the links: `\"bbr\"`, `\"cubic\"` or another one "
                      "that the kernel has; empty: the system's. `\"auto\"`: bbr where the kernel "
                      "has it and the round trip is above 1 ms, else the system's.");
        if (section.has("congestion") && !congestion_control_available(link.congestion)) {
            section.fail("congestion", "the kernel does not let this process use \"" +
                                           link.congestion +
                                           "\"; it has loaded: " + available_congestion_controls());
        }
    });
}

void bind_log(config_section& root, log_settings& log) {
    root.section("log", [&](config_section& section) {
        section.field("level", log.level, kinds::level_of_log(),
                      "The least important lines to write: a link is a line at `info`, a stream at "
                      "`debug`.");
        section.field("format", log.format, kinds::choice<log_format>({"text", "json"}),
                      "One line of text or one JSON object an event.");
        section.path("file", log.file,
                     "A file to append to, opened anew on SIGHUP. Empty: standard error.");
        section.field("destinations", log.destinations, kinds::boolean(),
                      "Whether lines above `debug` may name the destinations of streams.");
    });
}

void expand_listen_addresses(std::vector<listen_address>& addresses) {
    std::vector<listen_address> result;
    const auto add = [&result](listen_address one) {
        const auto same = [&](const listen_address& other) {
            return other.address == one.address && other.type == one.type;
        };
        const auto found = std::find_if(result.begin(), result.end(), same);
        const bool any_port = one.type == listen_address::kind::ip && one.address.port == 0;
        if (found == result.end() || any_port) {
            result.push_back(std::move(one));
        } else if (!one.skip_if_unavailable) {
            found->skip_if_unavailable = false;
        }
    };
    for (auto each : addresses) {
        if (each.type == listen_address::kind::systemd) {
            // One name may stand for several sockets; the port counts them.
            const auto count = std::max<std::size_t>(passed_sockets(each.address.host).size(), 1);
            for (std::size_t i = 0; i < count; ++i) {
                each.address.port = static_cast<std::uint16_t>(i);
                add(each);
            }
        } else if (each.type == listen_address::kind::ip && each.address.host == "localhost") {
            each.skip_if_unavailable = true;
            for (const auto* loopback : {"127.0.0.1", "::1"}) {
                each.address.host = loopback;
                add(each);
            }
        } else {
            add(std::move(each));
        }
    }
    addresses = std::move(result);
}

void complete_memory(memory_settings& memory) {
    if (memory.total == 0) memory.total = std::max<std::uint64_t>(usable_memory() / 4, mib);
}

bool congestion_control_available(const std::string& name) {
    if (name.empty() || name == link_settings::auto_congestion) return true;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return true; // Nothing known: the link will say.
    const int result = ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                                    static_cast<socklen_t>(name.size()));
    ::close(fd);
    return result == 0;
}

} // namespace muxsocks
