#include "server/own_addresses.hpp"

#include <algorithm>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <optional>

namespace muxsocks::server {

namespace {

namespace ip = boost::asio::ip;

std::optional<ip::address> address_of(const sockaddr* found) {
    if (found == nullptr) return std::nullopt;
    if (found->sa_family == AF_INET) {
        return ip::address_v4(ntohl(reinterpret_cast<const sockaddr_in*>(found)->sin_addr.s_addr));
    }
    if (found->sa_family == AF_INET6) {
        ip::address_v6::bytes_type bytes;
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(found);
        std::copy_n(v6->sin6_addr.s6_addr, bytes.size(), bytes.begin());
        return ip::address_v6(bytes);
    }
    return std::nullopt;
}

} // namespace

own_addresses::own_addresses(std::vector<ip::address> fixed)
    : sorted_(std::move(fixed)), valid_until_(std::chrono::steady_clock::time_point::max()) {
    std::sort(sorted_.begin(), sorted_.end());
}

bool own_addresses::contains(const ip::address& address) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= valid_until_) {
        read();
        valid_until_ = now + age_max;
    }
    return std::binary_search(sorted_.begin(), sorted_.end(), address);
}

void own_addresses::read() {
    ifaddrs* list = nullptr;
    // Without descriptors or memory the old list is better than none.
    if (::getifaddrs(&list) != 0) return;
    sorted_.clear();
    for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
        if (const auto address = address_of(one->ifa_addr)) sorted_.push_back(*address);
    }
    ::freeifaddrs(list);
    std::sort(sorted_.begin(), sorted_.end());
}

} // namespace muxsocks::server
