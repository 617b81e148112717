#include "benchmarks/load/socket.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace muxsocks::load {

namespace {

constexpr int backlog = 4096;
constexpr rlim_t descriptors_wanted = 65536;

void set_option(int socket, int level, int name, int value) {
    setsockopt(socket, level, name, &value, sizeof value);
}

void apply(int socket, const socket_settings& settings) {
    set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    if (settings.congestion.empty()) return;
    if (setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, settings.congestion.data(),
                   static_cast<socklen_t>(settings.congestion.size())) != 0) {
        throw std::runtime_error("congestion control \"" + settings.congestion +
                                 "\" cannot be set: " + std::strerror(errno) +
                                 " (see net.ipv4.tcp_allowed_congestion_control)");
    }
}

} // namespace

void file_descriptor::reset() {
    if (value_ >= 0) ::close(std::exchange(value_, -1));
}

endpoint endpoint::parse(std::string_view text) {
    const auto fail = [&]() -> endpoint {
        throw std::runtime_error("\"" + std::string(text) +
                                 "\" is no address: expected 127.0.0.1:80 or [::1]:80");
    };
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return fail();
    std::uint16_t port = 0;
    const std::string_view port_text = text.substr(colon + 1);
    const auto parsed =
        std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
    if (parsed.ec != std::errc{} || parsed.ptr != port_text.data() + port_text.size()) {
        return fail();
    }
    std::string host(text.substr(0, colon));
    endpoint result;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
        host = host.substr(1, host.size() - 2);
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(port);
        if (inet_pton(AF_INET6, host.c_str(), &address.sin6_addr) != 1) return fail();
        std::memcpy(&result.storage_, &address, sizeof address);
        result.size_ = sizeof address;
        return result;
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return fail();
    std::memcpy(&result.storage_, &address, sizeof address);
    result.size_ = sizeof address;
    return result;
}

endpoint endpoint::of_local(int socket) {
    endpoint result;
    result.size_ = sizeof result.storage_;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&result.storage_), &result.size_) != 0) {
        throw_errno("getsockname");
    }
    return result;
}

std::string endpoint::text() const {
    std::array<char, INET6_ADDRSTRLEN> host{};
    if (family() == AF_INET6) {
        sockaddr_in6 address{};
        std::memcpy(&address, &storage_, sizeof address);
        inet_ntop(AF_INET6, &address.sin6_addr, host.data(), host.size());
        return "[" + std::string(host.data()) + "]:" + std::to_string(ntohs(address.sin6_port));
    }
    sockaddr_in address{};
    std::memcpy(&address, &storage_, sizeof address);
    inet_ntop(AF_INET, &address.sin_addr, host.data(), host.size());
    return std::string(host.data()) + ":" + std::to_string(ntohs(address.sin_port));
}

file_descriptor listen_on(const endpoint& local, const socket_settings& settings) {
    file_descriptor listener(
        ::socket(local.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!listener) throw_errno("socket");
    set_option(listener.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    apply(listener.get(), settings); // inherited by what is accepted
    if (bind(listener.get(), local.address(), local.size()) != 0) throw_errno("bind");
    if (listen(listener.get(), backlog) != 0) throw_errno("listen");
    return listener;
}

connecting_socket connect_to(const endpoint& remote, const socket_settings& settings) {
    connecting_socket result;
    result.socket =
        file_descriptor(::socket(remote.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!result.socket) return result;
    apply(result.socket.get(), settings);
    result.connected = ::connect(result.socket.get(), remote.address(), remote.size()) == 0;
    if (!result.connected && errno != EINPROGRESS) {
        const int error = errno;
        result.socket.reset();
        errno = error;
    }
    return result;
}

void close_by_reset(file_descriptor& socket) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket.reset();
}

int pending_error(int socket) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    return error;
}

void throw_errno(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    if (limit.rlim_max < descriptors_wanted) {
        const rlimit wanted{.rlim_cur = descriptors_wanted, .rlim_max = descriptors_wanted};
        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace muxsocks::load
