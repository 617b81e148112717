#include "benchmarks/load/association.hpp"

#include "benchmarks/load/datagram.hpp"
#include "benchmarks/load/socks_wire.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <sys/socket.h>
#include <sys/time.h>

namespace muxsocks::load {

namespace {

constexpr std::uint8_t udp_associate = 3;
constexpr std::size_t front_bytes = 3; ///< RSV and FRAG
constexpr timeval associate_patience{.tv_sec = 10, .tv_usec = 0};

void send_all(int socket, std::span<const std::uint8_t> bytes) {
    if (send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size()))
        throw std::runtime_error(std::string("UDP ASSOCIATE: ") + std::strerror(errno));
}

void receive_all(int socket, std::span<std::uint8_t> bytes) {
    const ssize_t size = recv(socket, bytes.data(), bytes.size(), MSG_WAITALL);
    if (size == static_cast<ssize_t>(bytes.size())) return;
    throw std::runtime_error(size < 0 ? std::string("UDP ASSOCIATE: ") + std::strerror(errno)
                                      : "the proxy closed during UDP ASSOCIATE");
}

} // namespace

association::association(const route& way) {
    const endpoint to = way.socks ? associate(*way.socks) : way.first_hop();
    if (way.socks) {
        header_.assign(front_bytes, 0);
        append_socks_address(header_, way.target);
    }
    socket_ = datagram_socket(to.family());
    if (connect(socket_.get(), to.address(), to.size()) != 0) throw_errno("connect");
}

endpoint association::associate(const endpoint& proxy) {
    control_ = file_descriptor(::socket(proxy.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!control_) throw_errno("socket");
    const int control = control_.get();
    setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &associate_patience, sizeof associate_patience);
    setsockopt(control, SOL_SOCKET, SO_SNDTIMEO, &associate_patience, sizeof associate_patience);
    if (connect(control, proxy.address(), proxy.size()) != 0) throw_errno("connect");
    send_all(control, std::array<std::uint8_t, 3>{socks_version, 1, 0});
    std::array<std::uint8_t, 2> method{};
    receive_all(control, method);
    if (method[1] != 0) throw std::runtime_error("the proxy wants authentication");
    // Of which port its datagrams come is said by the first of them.
    send_all(control, std::array<std::uint8_t, 10>{socks_version, udp_associate, 0, atyp_ipv4});
    std::array<std::uint8_t, 3 + socks_address_bytes(atyp_ipv6)> reply{};
    receive_all(control, std::span(reply).first(4));
    if (reply[1] != 0)
        throw std::runtime_error("the proxy refused with REP " + std::to_string(reply[1]));
    receive_all(control, std::span(reply).subspan(4, socks_address_bytes(reply[3]) - 1));
    std::uint16_t port = 0;
    std::memcpy(&port, &reply[1 + socks_address_bytes(reply[3])], 2);
    const std::string host = proxy.text();
    return endpoint::parse(host.substr(0, host.rfind(':') + 1) + std::to_string(ntohs(port)));
}

std::span<const std::uint8_t> association::payload(std::span<const std::uint8_t> received) const {
    if (header_.empty()) return received;
    if (received.size() < front_bytes + 1) return {};
    const auto size = front_bytes + socks_address_bytes(received[front_bytes]);
    return received.size() < size ? std::span<const std::uint8_t>{} : received.subspan(size);
}

} // namespace muxsocks::load
