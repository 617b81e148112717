#include "protocol/program/metrics.hpp"

#include "protocol/program/log.hpp"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

namespace muxsocks {
namespace {

using labels = std::vector<std::pair<std::string_view, std::string>>;

double seconds_of(std::chrono::system_clock::time_point time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

/// Of a label: what may be neither in quotation marks nor in a line.
std::string label_escaped(std::string_view value) {
    std::string made;
    for (const char c : value) {
        if (c == '\n') {
            made += "\\n";
            continue;
        }
        if (c == '"' || c == '\\') made += '\\';
        made += c;
    }
    return made;
}

std::string metric_number(double value) { return fmt::format("{}", value); }

/// Text format 0.0.4: families, each with its values.
class metrics_page {
  public:
    explicit metrics_page(program_role role) : role_(role) {}

    /// Each begins a family; the values that follow belong to it.
    metrics_page& counter(std::string name, const char* help) {
        return family("counter", std::move(name), help);
    }
    metrics_page& gauge(std::string name, const char* help) {
        return family("gauge", std::move(name), help);
    }
    metrics_page& histogram(std::string name, const char* help) {
        return family("histogram", std::move(name), help);
    }

    metrics_page& value(double value, const labels& with = {}) {
        return line("", with, metric_number(value));
    }
    metrics_page& value(std::uint64_t value, const labels& with = {}) {
        return line("", with, std::to_string(value));
    }
    metrics_page& times(const time_histogram& times, labels with = {}) {
        std::uint64_t so_far = 0;
        with.emplace_back("le", "");
        for (std::size_t i = 0; i < times.counts.size(); ++i) {
            so_far += times.counts[i];
            with.back().second = i < time_histogram::bounds.size()
                                     ? metric_number(time_histogram::bounds[i])
                                     : "+Inf";
            line("_bucket", with, std::to_string(so_far));
        }
        with.pop_back();
        line("_sum", with, metric_number(times.seconds));
        return line("_count", with, std::to_string(so_far));
    }

    [[nodiscard]] bool server() const { return role_ == program_role::server; }
    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    metrics_page& family(const char* type, std::string name, const char* help) {
        // Those of the process have the same name in all programs.
        name_ = name.starts_with("process_") ? std::move(name) : "muxsocks_" + name;
        text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name_, help, type);
        return *this;
    }

    metrics_page& line(const char* suffix, const labels& with, const std::string& value) {
        text_ += name_ + suffix;
        char before = '{';
        for (const auto& [name, each] : with) {
            text_ += fmt::format("{}{}=\"{}\"", before, name, label_escaped(each));
            before = ',';
        }
        text_ += fmt::format("{} {}\n", with.empty() ? "" : "}", value);
        return *this;
    }

    program_role role_;
    std::string name_;
    std::string text_;
};

void add_program(metrics_page& to, const process_facts& process) {
    to.gauge("build_info", "The program, always 1.")
        .value(1.0, {{"role", process.role == program_role::client ? "client" : "server"},
                     {"version", MUXSOCKS_VERSION}});
    to.gauge("start_time_seconds", "When it started, in seconds since 1970.")
        .value(seconds_of(process.started));
    to.gauge("config_last_reload_success", "Whether the last reload was accepted.")
        .value(process.last_load_good ? 1.0 : 0.0);
    to.gauge("config_last_reload_timestamp_seconds",
             "When the configuration in force was read, in seconds since 1970.")
        .value(seconds_of(process.loaded));
    to.gauge("tls_certificate_not_after_timestamp_seconds",
             "Until when the program's own certificate is valid, in seconds since 1970.");
    if (process.certificate_not_after)
        to.value(seconds_of(*process.certificate_not_after), {{"file", process.certificate}});
}

void add_links(metrics_page& to, const snapshot& now) {
    to.gauge("links", "Links that are up, and sessions and servers without one.")
        .value(now.all.links, {{"state", "up"}})
        .value(now.all.detached + now.all.down, {{"state", "down"}});
    auto rtts = now.all.rtts;
    std::sort(rtts.begin(), rtts.end());
    if (rtts.empty()) rtts.push_back(0);
    to.gauge("link_rtt_seconds", "Round-trip times of the links that are up; 0 without any.")
        .value(double{rtts.front()}, {{"of", "best"}})
        .value(double{rtts[rtts.size() / 2]}, {{"of", "median"}})
        .value(double{rtts.back()}, {{"of", "worst"}});
    to.counter("link_established_total", "Links whose TLS handshake succeeded.")
        .value(now.counted.links_established);
    to.histogram("link_handshake_seconds", "TLS handshakes that succeeded.")
        .times(now.counted.handshakes);
    to.counter("link_lost_total", "Links that were up and ended, by reason.");
    for (std::size_t i = 0; i < link_ends; ++i)
        to.value(now.counted.links_lost[i],
                 {{"reason", std::string(to_string(static_cast<link_end>(i)))}});
    to.counter("link_handshake_failed_total", "TLS handshakes that failed, by reason.");
    for (std::size_t i = 0; i < link_ends; ++i)
        to.value(now.counted.handshakes_failed[i],
                 {{"reason", std::string(to_string(static_cast<link_end>(i)))}});
    if (!to.server()) return;
    to.gauge("unauthenticated_links", "Links that have not authenticated.")
        .value(now.unauthenticated);
    to.counter("auth_failures_total", "Sessions that were refused for their authentication.")
        .value(now.counted.authentications_failed);
}

void add_sessions(metrics_page& to, const snapshot& now) {
    const auto& counted = now.counted;
    to.gauge("sessions", "Sessions with a link, and without.")
        .value(now.all.attached, {{"state", "attached"}})
        .value(now.all.detached, {{"state", "detached"}});
    to.counter("session_begun_total", "Sessions that began.").value(counted.sessions_begun);
    to.counter("session_resumed_total", "Times that a session went on over another link.")
        .value(counted.sessions.resumed);
    to.counter("session_lost_total", "Sessions given up without a link.")
        .value(counted.sessions_lost);
    to.histogram("session_detached_seconds",
                 "How long sessions were without a link that got one again.")
        .times(counted.gaps);
    to.gauge("kept_bytes", "Bytes that sessions hold.").value(now.all.bytes_held);
    to.gauge("streams", "Streams that are open.").value(now.all.streams);
    to.counter("streams_opened_total", "Streams that were opened.")
        .value(counted.sessions.streams_opened);
    to.gauge("streams_waiting", "Requests that wait for a link, or for a dial.").value(now.waiting);
    to.counter("stream_replies_total", "Replies to requests, by REP of RFC 1928.");
    for (std::size_t i = 0; i < counted.replies.size(); ++i)
        to.value(counted.replies[i],
                 {{"rep", i + 1 < counted.replies.size() ? std::to_string(i) : "other"}});
    to.counter("stream_ended_total", "Connected streams that ended, by reason.");
    for (std::size_t i = 0; i < stream_ends; ++i)
        to.value(counted.streams_ended[i],
                 {{"reason", std::string(to_string(static_cast<stream_end>(i)))}});
    to.histogram("stream_duration_seconds", "How long streams lived that ended.")
        .times(counted.stream_ages);
    const auto& sessions = counted.sessions;
    to.counter("bytes_total", "Payload of streams; up is from the client to the server.")
        .value(to.server() ? sessions.bytes_received : sessions.bytes_sent, {{"direction", "up"}})
        .value(to.server() ? sessions.bytes_sent : sessions.bytes_received,
               {{"direction", "down"}});
}

void add_direct(metrics_page& to, const snapshot& now) {
    if (to.server()) return;
    const auto& counted = now.counted;
    to.gauge("direct_connections", "Connections without a server that are open.").value(now.direct);
    to.counter("direct_connections_total", "Dials without a server, by result.")
        .value(counted.direct_opened, {{"result", "connected"}})
        .value(counted.direct_failed, {{"result", "failed"}});
    to.counter("direct_bytes_total", "Payload of connections without a server.")
        .value(counted.direct_bytes_up, {{"direction", "up"}})
        .value(counted.direct_bytes_down, {{"direction", "down"}});
}

void add_server(metrics_page& to, const snapshot& now) {
    if (!to.server()) return;
    to.gauge("user_sessions", "Sessions of a user.");
    for (const auto& [name, user] : now.users)
        to.value(user.sessions, {{"user", name}});
    to.gauge("user_streams", "Open streams of a user.");
    for (const auto& [name, user] : now.users)
        to.value(user.streams, {{"user", name}});
    to.counter("user_bytes_total", "Payload of a user's streams.");
    for (const auto& [name, user] : now.users)
        to.value(user.bytes_up, {{"user", name}, {"direction", "up"}})
            .value(user.bytes_down, {{"user", name}, {"direction", "down"}});
    to.gauge("user_quota_bytes", "The quota of a user that has one.");
    for (const auto& [name, user] : now.users)
        if (user.quota_bytes > 0) to.value(user.quota_bytes, {{"user", name}});
    to.gauge("user_quota_used_bytes", "What of it is used in its period.");
    for (const auto& [name, user] : now.users)
        if (user.quota_bytes > 0) to.value(user.quota_used, {{"user", name}});
    to.histogram("dial_duration_seconds", "Connects to targets, look-up of the name included.")
        .times(now.counted.dials, {{"result", "connected"}})
        .times(now.counted.dials_failed, {{"result", "failed"}});
    to.gauge("dials_in_flight", "Connects to targets under way.").value(now.dials);
    to.gauge("lookups_in_flight", "Look-ups of names under way.").value(now.lookups);
    to.gauge("lookups_waiting", "Look-ups that wait for a place.").value(now.lookups_waiting);
    to.counter("denied_total", "Requests refused by a rule, by rule.");
    for (std::size_t i = 0; i < denied_rules; ++i)
        to.value(now.counted.denied[i],
                 {{"rule", std::string(to_string(static_cast<denied_by>(i)))}});
}

void add_memory(metrics_page& to, const snapshot& now) {
    to.gauge("memory_charged_bytes", "What sessions hold, as it is charged to memory.total.")
        .value(now.memory_held);
    to.gauge("memory_limit_bytes", "memory.total.").value(now.memory_limit);
    to.counter("memory_shed_total", "Streams that were reset to stay within a bound of memory.")
        .value(now.counted.sessions.shed);
}

std::uint64_t resident_bytes() {
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    if (std::FILE* const file = std::fopen("/proc/self/statm", "re")) {
        if (std::fscanf(file, "%lu %lu", &size, &resident) != 2) resident = 0;
        std::fclose(file);
    }
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t open_files() {
    std::uint64_t count = 0;
    if (::DIR* const folder = ::opendir("/proc/self/fd")) {
        while (::readdir(folder))
            ++count;
        ::closedir(folder);
    }
    // Without ".", ".." and the folder itself.
    return count > 3 ? count - 3 : 0;
}

void add_process(metrics_page& to, const process_facts& process) {
    ::rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto cpu = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    ::rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    to.counter("process_cpu_seconds_total", "CPU time used, in seconds.").value(cpu);
    to.gauge("process_resident_memory_bytes", "Resident memory.").value(resident_bytes());
    to.gauge("process_open_fds", "Open files.").value(open_files());
    to.gauge("process_max_fds", "How many files may be open.")
        .value(static_cast<double>(files.rlim_cur));
    to.gauge("process_start_time_seconds", "When it started, in seconds since 1970.")
        .value(seconds_of(process.started));
}

} // namespace

std::string metrics_text(const process_facts& process, const snapshot& now) {
    metrics_page made(process.role);
    add_program(made, process);
    add_links(made, now);
    add_sessions(made, now);
    add_direct(made, now);
    add_server(made, now);
    add_memory(made, now);
    add_process(made, process);
    return made.text();
}

} // namespace muxsocks
