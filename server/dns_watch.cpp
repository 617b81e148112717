#include "server/dns_watch.hpp"

#include "protocol/link/dial/resolve_error.hpp"
#include "protocol/program/log.hpp"

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

constexpr auto pause_of_warnings = dns_watch::clock::duration(60s);
/// An answer that is older than that says nothing about the servers.
constexpr auto answer_counts_for = dns_watch::clock::duration(10s);

constexpr dns_watch::clock::rep long_ago = (dns_watch::clock::duration::min() / 4).count();

std::string describe(const dns_settings& settings) {
    if (settings.servers.empty())
        return "those of /etc/resolv.conf, since \"dns.servers\" is not set";
    std::string text;
    for (const auto& each : settings.servers)
        text += (text.empty() ? "" : ", ") + to_string(each);
    return text + ", from \"dns.servers\"";
}

} // namespace

dns_watch::dns_watch(const dns_settings& settings)
    : servers_(describe(settings)), answered_(long_ago), warned_(long_ago) {}

void dns_watch::on_result(std::error_code error, clock::time_point now) {
    const auto at = now.time_since_epoch();
    if (error != resolve_errc::server_failure && error != resolve_errc::timed_out) {
        answered_ = at.count();
        return;
    }
    if (at - clock::duration(answered_) < answer_counts_for) return;
    auto last = warned_.load();
    if (at - clock::duration(last) < pause_of_warnings) return;
    if (!warned_.compare_exchange_strong(last, at.count())) return;
    ++warnings_;
    log::warning("a name could not be looked up: {} (the servers are {})", error.message(),
                 servers_);
}

} // namespace muxsocks::server
