#include "client/redirected.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace muxsocks::client {
namespace {

using tcp_endpoint = asio::ip::tcp::endpoint;

/// As in linux/netfilter_ipv6/ip6_tables.h, which C++ does not take.
constexpr int original_destination_v6 = 80;

tcp_endpoint plain(const tcp_endpoint& at) { return {unmapped(at.address()), at.port()}; }

std::optional<tcp_endpoint> own_end(int descriptor) {
    tcp_endpoint at;
    auto size = static_cast<::socklen_t>(at.capacity());
    if (::getsockname(descriptor, at.data(), &size) != 0) return {};
    const auto family = at.data()->sa_family;
    if (family != AF_INET && family != AF_INET6) return {};
    at.resize(size);
    return plain(at);
}

std::optional<tcp_endpoint> before_nat(int descriptor, bool v4) {
    tcp_endpoint at;
    auto size = static_cast<::socklen_t>(at.capacity());
    const int failed =
        v4 ? ::getsockopt(descriptor, SOL_IP, SO_ORIGINAL_DST, at.data(), &size)
           : ::getsockopt(descriptor, SOL_IPV6, original_destination_v6, at.data(), &size);
    if (failed != 0) return {};
    at.resize(size);
    return plain(at);
}

} // namespace

std::optional<socks5::address> redirected_target(int descriptor, const listen_address& from) {
    const auto own = own_end(descriptor);
    if (!own) return {};
    auto target = own;
    if (from.is_tproxy()) {
        // What is meant for the listener's own port would come back for ever.
        if (from.type == listen_address::kind::ip && own->port() == from.address.port) return {};
    } else {
        target = before_nat(descriptor, own->address().is_v4());
        if (!target || *target == *own) return {};
    }
    const auto ip = target->address();
    return ip.is_v4() ? socks5::address::from_ipv4(ip.to_v4().to_bytes(), target->port())
                      : socks5::address::from_ipv6(ip.to_v6().to_bytes(), target->port());
}

} // namespace muxsocks::client
