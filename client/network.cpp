#include "client/network.hpp"

#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <vector>

namespace muxsocks::client {
namespace {

void add_addresses(std::vector<std::string>& facts) {
    ::ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return;
    for (auto each = all; each; each = each->ifa_next) {
        if (!each->ifa_addr || (each->ifa_flags & IFF_UP) == 0 ||
            (each->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        std::string fact = each->ifa_name;
        const auto address = reinterpret_cast<const char*>(each->ifa_addr);
        if (each->ifa_addr->sa_family == AF_INET) {
            fact.append(address + offsetof(::sockaddr_in, sin_addr), sizeof(::in_addr));
        } else if (each->ifa_addr->sa_family == AF_INET6) {
            const auto& v6 = *reinterpret_cast<const ::sockaddr_in6*>(address);
            if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) continue;
            fact.append(address + offsetof(::sockaddr_in6, sin6_addr), sizeof(::in6_addr));
        } else {
            continue;
        }
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

/// A request for the route to an address, as the kernel takes it.
struct route_request {
    ::nlmsghdr header{};
    ::rtmsg route{};
    ::rtattr destination{};
    std::array<unsigned char, 16> address{};
};

template <typename Bytes>
route_request make_request(const Bytes& address, unsigned char family) {
    route_request request;
    std::copy(address.begin(), address.end(), request.address.begin());
    request.destination.rta_type = RTA_DST;
    request.destination.rta_len = static_cast<unsigned short>(RTA_LENGTH(address.size()));
    request.route.rtm_family = family;
    request.route.rtm_dst_len = static_cast<unsigned char>(8 * address.size());
    request.header.nlmsg_type = RTM_GETROUTE;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.header.nlmsg_len =
        static_cast<std::uint32_t>(offsetof(route_request, address) + address.size());
    return request;
}

/// Of the kernel's answer, what decides where packets go and whence they come.
std::string describe_answer(const ::nlmsghdr& answer) {
    if (answer.nlmsg_type != RTM_NEWROUTE) return {};
    const auto& route = *static_cast<const ::rtmsg*>(NLMSG_DATA(&answer));
    std::string facts;
    auto left = static_cast<int>(RTM_PAYLOAD(&answer));
    for (const auto* each = RTM_RTA(&route); RTA_OK(each, left); each = RTA_NEXT(each, left)) {
        const auto type = each->rta_type;
        if (type != RTA_OIF && type != RTA_GATEWAY && type != RTA_VIA && type != RTA_PREFSRC)
            continue;
        facts += static_cast<char>(type);
        facts.append(static_cast<const char*>(RTA_DATA(each)), RTA_PAYLOAD(each));
    }
    return facts;
}

} // namespace

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

std::string describe_route(const asio::ip::address& to) {
    const auto request = to.is_v4() ? make_request(to.to_v4().to_bytes(), AF_INET)
                                    : make_request(to.to_v6().to_bytes(), AF_INET6);
    const int descriptor = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (descriptor < 0) return {};
    alignas(::nlmsghdr) std::array<char, 4096> answer;
    // The kernel has answered when send() returns.
    const bool sent = ::send(descriptor, &request, request.header.nlmsg_len, 0) > 0;
    const auto size = sent ? ::recv(descriptor, answer.data(), answer.size(), MSG_DONTWAIT) : -1;
    ::close(descriptor);
    const auto& header = *reinterpret_cast<const ::nlmsghdr*>(answer.data());
    if (size <= 0 || !NLMSG_OK(&header, static_cast<std::size_t>(size))) return {};
    return describe_answer(header);
}

} // namespace muxsocks::client
