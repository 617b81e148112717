#include "client/trouble_watch.hpp"

#include "protocol/program/log.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

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

} // namespace

trouble_watch::trouble_watch(asio::io_context& context, deadlines& clock, watcher& to)
    : watcher_(to),
      netlink_(context.get_executor()),
      settle_(clock, [this] { watcher_.on_network_changed(); }),
      tick_(clock, [this] { on_tick(); }) {}

void trouble_watch::start() {
    slept_ = time_asleep();
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
    // Their contents do not matter: whom they concern, others find out.
    while (::recv(netlink_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
    }
    if (!settle_.is_set()) settle_.expires_after(settle_time);
    wait_netlink();
}

void trouble_watch::on_tick() {
    tick_.expires_after(watch_interval);
    const auto slept = time_asleep();
    const auto more = slept - std::exchange(slept_, slept);
    if (more >= sleep_noticed) watcher_.on_slept(more);
}

} // namespace muxsocks::client
