#include "protocol/program/listen.hpp"

#include "protocol/program/local_sockets.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/ip/v6_only.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace muxsocks {
namespace {

using asio::ip::tcp;

tcp::endpoint endpoint_of(const host_port& address) {
    if (address.host.empty()) return {asio::ip::address_v6::any(), address.port};
    return {asio::ip::make_address(address.host), address.port};
}

std::string cure_for(const boost::system::error_code& error) {
    switch (error.value()) {
    case EADDRINUSE:
        return "another program listens there: stop it or choose another port";
    case EADDRNOTAVAIL:
        return "this host has no such address: correct \"listen\"";
    case EPERM:
        return "\"tproxy\" needs CAP_NET_ADMIN: root, or AmbientCapabilities= of the service";
    case EACCES:
        return "ports below 1024 need CAP_NET_BIND_SERVICE or another port";
    default:
        return error.message();
    }
}

/// The socket takes connections to whatever address, which the kernel steers here, as its own.
bool take_any_address(int descriptor, bool v6) {
    const int on = 1;
    return v6 ? ::setsockopt(descriptor, SOL_IPV6, IPV6_TRANSPARENT, &on, sizeof on) == 0
              : ::setsockopt(descriptor, SOL_IP, IP_TRANSPARENT, &on, sizeof on) == 0;
}

/// Sets the options and binds; false if this host lacks the family or address.
boost::system::error_code set_up(tcp_acceptor& acceptor, const tcp::endpoint& at, bool dual,
                                 bool tproxy) {
    boost::system::error_code error;
    if (acceptor.open(at.protocol(), error); error) return error;
    acceptor.set_option(tcp_acceptor::reuse_address(true), error);
    if (at.address().is_v6()) acceptor.set_option(asio::ip::v6_only(!dual), error);
    acceptor.set_option(tcp::no_delay(true), error);
    acceptor.set_option(asio::socket_base::keep_alive(true), error);
    if (tproxy && !take_any_address(acceptor.native_handle(), at.address().is_v6()))
        return {errno, boost::system::system_category()};
    if (acceptor.bind(at, error); error) return error;
    if (acceptor.listen(asio::socket_base::max_listen_connections, error); error) return error;
    acceptor.native_non_blocking(true, error);
    return error;
}

/// Where this host reaches what listens on the address; none if the system chose its port.
std::vector<tcp::endpoint> own_endpoints(const listen_address& listening) {
    if (listening.type != listen_address::kind::ip || listening.address.port == 0) return {};
    const auto at = endpoint_of(listening.address);
    const tcp::endpoint v4(asio::ip::address_v4::loopback(), at.port());
    const tcp::endpoint v6(asio::ip::address_v6::loopback(), at.port());
    if (listening.address.host.empty()) return {v4, v6};
    if (!at.address().is_unspecified()) return {at};
    return {at.address().is_v4() ? v4 : v6};
}

void limit_waits(int descriptor, std::chrono::milliseconds limit) {
    const ::timeval time{limit.count() / 1000, limit.count() % 1000 * 1000};
    (void)::setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    (void)::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

/// -1 with errno where it fails.
int connect_within(const tcp::endpoint& to, std::chrono::milliseconds limit) {
    const int descriptor = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    limit_waits(descriptor, limit);
    if (::connect(descriptor, to.data(), static_cast<::socklen_t>(to.size())) == 0)
        return descriptor;
    const int error = errno;
    ::close(descriptor);
    errno = error;
    return -1;
}

int address_family_of(int descriptor) {
    int family = AF_UNSPEC;
    ::socklen_t size = sizeof family;
    (void)::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size);
    return family;
}

} // namespace

std::optional<tcp_acceptor> open_listener(asio::io_context& context,
                                          const listen_address& address) {
    tcp_acceptor acceptor(context.get_executor());
    if (address.type != listen_address::kind::ip) {
        // The protocol is what the acceptor takes it for; nothing but accept() is asked of it.
        acceptor.assign(tcp::v4(), address.is_unix() ? open_unix_listener(address)
                                                     : open_passed_listener(address));
        return acceptor;
    }
    auto at = endpoint_of(address.address);
    const bool all = address.address.host.empty();
    auto error = set_up(acceptor, at, all, address.is_tproxy());
    if (all && error == boost::system::errc::address_family_not_supported) {
        // A host without IPv6.
        acceptor = tcp_acceptor(context.get_executor());
        at = {asio::ip::address_v4::any(), address.address.port};
        error = set_up(acceptor, at, false, address.is_tproxy());
    }
    if (!error) return acceptor;
    const bool absent = error == boost::system::errc::address_family_not_supported ||
                        error == boost::system::errc::address_not_available;
    if (absent && address.skip_if_unavailable) {
        log::info("not listening on {}: this host has no such address", to_string(address.address));
        return {};
    }
    throw std::runtime_error(
        fmt::format("cannot listen on {}: {}", to_string(address.address), cure_for(error)));
}

std::optional<tcp_acceptor> adopt_listener(asio::io_context& context, const listen_address& address,
                                           std::vector<inherited_listener>& inherited) {
    const auto found =
        std::find_if(inherited.begin(), inherited.end(),
                     [name = to_string(address)](const auto& each) { return each.name == name; });
    if (found == inherited.end()) return {};
    if (address.type == listen_address::kind::unix_path) set_unix_rights(address);
    const auto protocol = address_family_of(found->descriptor) == AF_INET6 ? tcp::v6() : tcp::v4();
    tcp_acceptor acceptor(context.get_executor());
    acceptor.assign(protocol, found->descriptor);
    inherited.erase(found);
    return acceptor;
}

std::string bound_address(const tcp_acceptor& acceptor, const listen_address& address) {
    if (address.type != listen_address::kind::ip) return to_string(address);
    boost::system::error_code error;
    const auto at = acceptor.local_endpoint(error);
    return to_string(host_port{at.address().to_string(), at.port()});
}

int connect_to_own_listener(std::span<const listen_address> listening,
                            std::chrono::milliseconds limit) {
    std::string failures;
    for (const auto& each : listening) {
        if (each.is_unix()) {
            const int descriptor = connect_to_unix(each);
            if (descriptor >= 0) {
                limit_waits(descriptor, limit);
                return descriptor;
            }
            failures += fmt::format("{}{}: {}", failures.empty() ? "" : "; ", to_string(each),
                                    std::system_category().message(errno));
            continue;
        }
        for (const auto& endpoint : own_endpoints(each)) {
            const int descriptor = connect_within(endpoint, limit);
            if (descriptor >= 0) return descriptor;
            failures += fmt::format(
                "{}{}: {}", failures.empty() ? "" : "; ",
                to_string(host_port{endpoint.address().to_string(), each.address.port}),
                errno == EINPROGRESS || errno == EAGAIN ? "no answer in time"
                                                        : std::system_category().message(errno));
        }
    }
    if (failures.empty())
        throw std::runtime_error(
            "\"listen\" leaves the port to the system or its service manager: only a port that the "
            "configuration names can be asked");
    throw std::runtime_error("cannot connect to " + failures);
}

int accept_one(int listening) {
    return ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

} // namespace muxsocks
