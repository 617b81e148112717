#include "protocol/link/loop/datagram_socket.hpp"

#include "protocol/link/loop/let_go.hpp"

#include <boost/asio/ip/v6_only.hpp>

#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
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

/// What the kernel takes at a time for one destination, and the longest that is worth it: longer
/// ones are cut by IP itself.
constexpr std::size_t segments_max = 64;
constexpr std::size_t segment_max = 9000;
/// What every path of IPv6 takes: where this is too long there is no segmentation.
constexpr std::size_t segment_sure = 1280 - 40 - 8;

/// Older kernels ignore what they are told of segments, and would send them as one datagram.
bool kernel_segments(int descriptor) {
    static const bool known = [descriptor] {
        int value = 0;
        ::socklen_t size = sizeof value;
        return ::getsockopt(descriptor, SOL_UDP, UDP_SEGMENT, &value, &size) == 0;
    }();
    return known;
}

/// What sendmmsg() is told of a batch; a thread has one, which holds nothing between two calls.
struct batch {
    static constexpr std::size_t most = datagram_socket::batch_max;
    struct alignas(cmsghdr) control {
        std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> bytes;
    };

    std::array<mmsghdr, most> messages;
    std::array<ip::udp::endpoint, most> names;
    std::array<control, most> controls;
    std::array<iovec, 2 * most> parts;
    std::array<std::size_t, most + 1> begins; ///< Of each message, among the datagrams.

    void lay_segment_size(std::size_t of, std::size_t size) {
        auto& message = messages[of].msg_hdr;
        message.msg_control = controls[of].bytes.data();
        message.msg_controllen = controls[of].bytes.size();
        const auto one = CMSG_FIRSTHDR(&message);
        one->cmsg_level = SOL_UDP;
        one->cmsg_type = UDP_SEGMENT;
        one->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
        const auto value = static_cast<std::uint16_t>(size);
        std::memcpy(CMSG_DATA(one), &value, sizeof(value));
    }
};

batch& scratch() {
    static thread_local batch made;
    return made;
}

} // namespace

std::error_code datagram_socket::open(const ip::udp& family) {
    boost::system::error_code error;
    socket_.open(family, error);
    if (error) return error;
    socket_.non_blocking(true, error);
    segment_limit_ = kernel_segments(descriptor()) ? segment_max : 0;
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

bool datagram_socket::adopt(int descriptor) {
    ::sockaddr_storage at{};
    ::socklen_t size = sizeof at;
    int type = 0;
    ::socklen_t type_size = sizeof type;
    int v6_only = 1;
    ::socklen_t v6_only_size = sizeof v6_only;
    if (::getsockname(descriptor, reinterpret_cast<::sockaddr*>(&at), &size) != 0 ||
        ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0 || type != SOCK_DGRAM)
        return false;
    const bool v6 = at.ss_family == AF_INET6;
    if (v6) (void)::getsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, &v6_only_size);
    boost::system::error_code error;
    socket_.assign(v6 ? ip::udp::v6() : ip::udp::v4(), descriptor, error);
    if (error) return false;
    socket_.non_blocking(true, error);
    segment_limit_ = kernel_segments(descriptor) ? segment_max : 0;
    both_ = v6 && v6_only == 0;
    return true;
}

void datagram_socket::let_go() { muxsocks::let_go(socket_); }

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

ip::udp::endpoint datagram_socket::mapped(const ip::udp::endpoint& to) const {
    if (!both_ || !to.address().is_v4()) return to;
    return {ip::make_address_v6(ip::v4_mapped, to.address().to_v4()), to.port()};
}

std::error_code datagram_socket::send(bytes_view head, bytes_view bytes,
                                      const ip::udp::endpoint& to) {
    auto where = mapped(to);
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

std::size_t datagram_socket::together(bytes_view head, std::span<const outgoing> all) const {
    const auto& first = all.front();
    const auto size = head.size() + first.bytes.size();
    if (size == 0 || size > segment_limit_) return 1;
    std::size_t count = 1;
    auto bytes = size;
    // The last one may be shorter.
    for (; count < std::min(all.size(), segments_max); ++count) {
        const auto& next = all[count];
        const auto more = head.size() + next.bytes.size();
        if (next.to != first.to || more > size || more == 0 || bytes + more > payload_max) break;
        bytes += more;
        if (more < size) return count + 1;
    }
    return count;
}

void datagram_socket::send_all(bytes_view head, std::span<outgoing> all) {
    batch& made = scratch();
    std::size_t messages = 0;
    std::size_t parts = 0;
    for (std::size_t at = 0; at < all.size(); ++messages) {
        const auto count = together(head, all.subspan(at));
        made.begins[messages] = at;
        made.names[messages] = mapped(all[at].to);
        auto& message = made.messages[messages].msg_hdr;
        message = {};
        message.msg_name = made.names[messages].data();
        message.msg_namelen = static_cast<socklen_t>(made.names[messages].size());
        const auto before = parts;
        message.msg_iov = made.parts.data() + before;
        if (count > 1) made.lay_segment_size(messages, head.size() + all[at].bytes.size());
        for (const auto end = at + count; at < end; ++at) {
            if (!head.empty()) made.parts[parts++] = vector_of(head);
            made.parts[parts++] = vector_of(all[at].bytes);
        }
        message.msg_iovlen = parts - before;
    }
    made.begins[messages] = all.size();
    for (std::size_t next = 0; next < messages;) {
        const int taken =
            ::sendmmsg(descriptor(), &made.messages[next], static_cast<unsigned>(messages - next),
                       MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken > 0) {
            const auto end = next + static_cast<std::size_t>(taken);
            for (auto i = made.begins[next]; i < made.begins[end]; ++i)
                all[i].sent = true;
            next = end;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == ENOBUFS) return;
        const auto begin = made.begins[next];
        const auto count = made.begins[++next] - begin;
        if (count == 1) continue; // The error is this datagram's.
        // EINVAL, in newer kernels EMSGSIZE: longer than the path takes at a time, or not to be had
        // for this socket. EIO: not by this device. An error of each of them alone says nothing of
        // that.
        const bool length = errno == EINVAL || errno == EMSGSIZE;
        const auto size = head.size() + all[begin].bytes.size();
        if (send_singly(head, all.subspan(begin, count)))
            segment_limit_ = length && size > segment_sure ? std::min(segment_limit_, size - 1) : 0;
    }
}

bool datagram_socket::send_singly(bytes_view head, std::span<outgoing> all) {
    for (auto& one : all)
        one.sent = !send(head, one.bytes, one.to);
    return std::ranges::any_of(all, &outgoing::sent);
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
