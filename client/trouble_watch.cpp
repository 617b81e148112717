#include "client/trouble_watch.hpp"

#include "protocol/program/log.hpp"

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <vector>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

constexpr auto watch_interval = 1s;
constexpr auto settle_time = 300ms;
constexpr auto sleep_noticed = 2s;

std::chrono::nanoseconds read_clock(clockid_t clock) {
    ::timespec at{};
    (void)::clock_gettime(clock, &at);
    return std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec);
}

/// How long the machine has slept since it was started.
std::chrono::nanoseconds time_asleep() {
    return read_clock(CLOCK_BOOTTIME) - read_clock(CLOCK_MONOTONIC);
}

void add_addresses(std::vector<std::string>& facts) {
    ::ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return;
    for (auto each = all; each; each = each->ifa_next) {
        if (!each->ifa_addr || (each->ifa_flags & IFF_UP) == 0 ||
            (each->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        std::string fact = each->ifa_name;
        const auto address = reinterpret_cast<const char*>(each->ifa_addr);
        if (each->ifa_addr->sa_family == AF_INET)
            fact.append(address + offsetof(::sockaddr_in, sin_addr), sizeof(::in_addr));
        else if (each->ifa_addr->sa_family == AF_INET6)
            fact.append(address + offsetof(::sockaddr_in6, sin6_addr), sizeof(::in6_addr));
        else
            continue;
        facts.push_back(std::move(fact));
    }
    ::freeifaddrs(all);
}

void add_default_routes(std::vector<std::string>& facts) {
    std::string line;
    for (std::ifstream v4("/proc/net/route"); std::getline(v4, line);)
        if (line.find("\t00000000\t") != std::string::npos)
            facts.push_back(line.substr(0, line.find("\t", line.find("\t00000000\t") + 10)));
    for (std::ifstream v6("/proc/net/ipv6_route"); std::getline(v6, line);)
        if (line.starts_with(std::string(32, '0') + " 00") && !line.ends_with(" lo"))
            facts.push_back(line.substr(0, 110) + line.substr(line.rfind(' ')));
}

/// What a link depends on: addresses of interfaces that are up, and default routes. The same text
/// means the same network, whatever messages came (router advertisements repeat themselves).
std::string describe_network() {
    std::vector<std::string> facts;
    add_addresses(facts);
    add_default_routes(facts);
    std::sort(facts.begin(), facts.end());
    std::string all;
    for (const auto& fact : facts)
        all += fact + '\n';
    return all;
}

} // namespace

trouble_watch::trouble_watch(asio::io_context& context, deadlines& clock,
                             trouble_handler on_trouble)
    : on_trouble_(std::move(on_trouble)),
      netlink_(context.get_executor()),
      settle_(clock, [this] { on_settled(); }),
      tick_(clock, [this] { on_tick(); }) {}

void trouble_watch::start() {
    slept_ = time_asleep();
    network_ = describe_network();
    tick_.expires_after(watch_interval);
    open_netlink();
}

void trouble_watch::stop() {
    tick_.cancel();
    settle_.cancel();
    boost::system::error_code ignored;
    netlink_.close(ignored);
}

void trouble_watch::open_netlink() {
    const int descriptor =
        ::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (descriptor < 0) return;
    ::sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                        RTMGRP_IPV6_ROUTE;
    if (::bind(descriptor, reinterpret_cast<const ::sockaddr*>(&address), sizeof address) != 0) {
        log::debug("changes of the network cannot be watched: {}", std::strerror(errno));
        ::close(descriptor);
        return;
    }
    netlink_.assign(descriptor);
    wait_netlink();
}

void trouble_watch::wait_netlink() {
    netlink_.async_wait(asio::posix::descriptor_base::wait_read,
                        [this](const boost::system::error_code& error) {
                            if (!error && netlink_.is_open()) on_netlink();
                        });
}

void trouble_watch::on_netlink() {
    std::array<char, 8192> buffer;
    // Their contents do not matter: what the network is like is read anew.
    while (::recv(netlink_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
    }
    if (!settle_.is_set()) settle_.expires_after(settle_time);
    wait_netlink();
}

void trouble_watch::on_settled() {
    auto now = describe_network();
    if (now == network_) return;
    network_ = std::move(now);
    on_trouble_("the network has changed", {});
}

void trouble_watch::on_tick() {
    tick_.expires_after(watch_interval);
    const auto slept = time_asleep();
    const auto more = slept - std::exchange(slept_, slept);
    if (more >= sleep_noticed) on_trouble_("the machine has slept", more);
}

} // namespace muxsocks::client
