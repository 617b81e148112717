#include "benchmarks/load/socks_wire.hpp"

#include <cstring>

namespace muxsocks::load {

void append_socks_address(std::vector<std::uint8_t>& to, const endpoint& of) {
    const auto append = [&](const void* data, std::size_t size) {
        const auto* begin = static_cast<const std::uint8_t*>(data);
        to.insert(to.end(), begin, begin + size);
    };
    if (of.family() == AF_INET6) {
        sockaddr_in6 address{};
        std::memcpy(&address, of.address(), sizeof address);
        to.push_back(atyp_ipv6);
        append(&address.sin6_addr, 16);
        append(&address.sin6_port, 2);
    } else {
        sockaddr_in address{};
        std::memcpy(&address, of.address(), sizeof address);
        to.push_back(atyp_ipv4);
        append(&address.sin_addr, 4);
        append(&address.sin_port, 2);
    }
}

} // namespace muxsocks::load
