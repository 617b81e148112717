#include "protocol/link/loop/datagram_socket.hpp"

#include <boost/asio/ip/v6_only.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace muxsocks {
namespace {

namespace ip = asio::ip;

std::error_code send_error() { return {errno, std::system_category()}; }

/// How long ago the kernel took it in; 0 where the clock was set back meanwhile.
std::chrono::nanoseconds age_of(const timespec& stamp) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    const auto age = std::chrono::seconds(now.tv_sec - stamp.tv_sec) +
                     std::chrono::nanoseconds(now.tv_nsec - stamp.tv_nsec);
    return std::max<std::chrono::nanoseconds>(age, std::chrono::nanoseconds(0));
}

iovec vector_of(bytes_view bytes) {
    return {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
}

ip::udp::endpoint unmapped_endpoint(const ip::udp::endpoint& from) {
    if (from.address().is_v4() || !from.address().to_v6().is_v4_mapped()) return from;
    return {ip::make_address_v4(ip::v4_mapped, from.address().to_v6()), from.port()};
}

} // namespace

std::error_code datagram_socket::open(const ip::udp& family) {
    boost::system::error_code error;
    socket_.open(family, error);
    if (error) return error;
    socket_.non_blocking(true, error);
    const int on = 1;
    ::setsockopt(descriptor(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
    ::setsockopt(descriptor(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
    // Where the system allows less, less will do.
    ::setsockopt(descriptor(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    return error;
}

std::error_code datagram_socket::bind(const ip::udp::endpoint& local) {
    if (const auto error = open(local.protocol())) return error;
    boost::system::error_code error;
    socket_.bind(local, error);
    if (error) close();
    return error;
}

std::error_code datagram_socket::bind_any() {
    boost::system::error_code error;
    if (!open(ip::udp::v6())) {
        socket_.set_option(ip::v6_only(false), error);
        if (!error) socket_.bind({ip::udp::v6(), 0}, error);
        if (!error) {
            both_ = true;
            return {};
        }
        close();
    }
    return bind({ip::udp::v4(), 0});
}

datagram_socket::received datagram_socket::receive(bytes_span head, bytes_span into,
                                                   std::chrono::nanoseconds age_max) {
    received result;
    std::array<iovec, 2> parts{vector_of(head), vector_of(into)};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(4)> control{};
    msghdr message{};
    message.msg_name = result.from.data();
    message.msg_namelen = static_cast<socklen_t>(result.from.capacity());
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ::ssize_t size = 0;
    do
        size = ::recvmsg(descriptor(), &message, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size < 0) return result;
    result.from.resize(message.msg_namelen);
    result.from = unmapped_endpoint(result.from);
    result.bytes = static_cast<std::size_t>(size);
    result.what = outcome::taken;
    if ((message.msg_flags & MSG_TRUNC) != 0) result.what = outcome::too_long;
    for (auto one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        if (one->cmsg_level != SOL_SOCKET) continue;
        if (one->cmsg_type == SCM_TIMESTAMPNS) {
            timespec stamp{};
            std::memcpy(&stamp, CMSG_DATA(one), sizeof(stamp));
            if (age_max.count() > 0 && age_of(stamp) > age_max) result.what = outcome::too_old;
        } else if (one->cmsg_type == SO_RXQ_OVFL) {
            std::memcpy(&dropped_, CMSG_DATA(one), sizeof(dropped_));
        }
    }
    return result;
}

std::error_code datagram_socket::send(bytes_view head, bytes_view bytes,
                                      const ip::udp::endpoint& to) {
    auto where = to;
    if (both_ && to.address().is_v4())
        where = {ip::make_address_v6(ip::v4_mapped, to.address().to_v4()), to.port()};
    std::array<iovec, 2> parts{vector_of(head), vector_of(bytes)};
    msghdr message{};
    message.msg_name = where.data();
    message.msg_namelen = static_cast<socklen_t>(where.size());
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    while (::sendmsg(descriptor(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        if (errno != EINTR) return send_error();
    return {};
}

void datagram_socket::close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
}

ip::udp::endpoint datagram_socket::local() const {
    boost::system::error_code ignored;
    return socket_.local_endpoint(ignored);
}

} // namespace muxsocks
