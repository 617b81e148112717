#include "benchmarks/load/datagram.hpp"

#include <algorithm>
#include <cstring>

namespace muxsocks::load {

namespace {

constexpr int socket_buffer_bytes = 8 << 20;

socklen_t size_of(const sockaddr_storage& address) {
    return address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

} // namespace

void lay_echo(std::span<std::uint8_t> place, const datagram_head& head) {
    std::memcpy(place.data(), &head, sizeof head);
    std::memset(place.data() + sizeof head, static_cast<int>(head.number & 0xff),
                place.size() - sizeof head);
}

bool is_echo(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < sizeof(datagram_head)) return false;
    datagram_head head;
    std::memcpy(&head, bytes.data(), sizeof head);
    const auto filling = static_cast<std::uint8_t>(head.number);
    const auto rest = bytes.subspan(sizeof head);
    return head.kind == datagram_kind::echo &&
           std::all_of(rest.begin(), rest.end(), [&](auto byte) { return byte == filling; });
}

file_descriptor datagram_socket(int family) {
    file_descriptor made(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!made) throw_errno("socket");
    for (const auto& [plain, forced] :
         {std::pair{SO_RCVBUF, SO_RCVBUFFORCE}, std::pair{SO_SNDBUF, SO_SNDBUFFORCE}}) {
        const int size = socket_buffer_bytes;
        if (setsockopt(made.get(), SOL_SOCKET, forced, &size, sizeof size) != 0)
            setsockopt(made.get(), SOL_SOCKET, plain, &size, sizeof size);
    }
    return made;
}

datagram_batch::datagram_batch() : buffer_(datagrams_at_once * slot_bytes) {
    for (std::size_t i = 0; i < datagrams_at_once; ++i)
        messages_[i].msg_hdr.msg_iov = &parts_[i];
}

std::size_t datagram_batch::receive(int socket) {
    for (std::size_t i = 0; i < datagrams_at_once; ++i) {
        parts_[i] = {buffer_of(i), slot_bytes};
        auto& header = messages_[i].msg_hdr;
        header.msg_iovlen = 1;
        header.msg_name = &addresses_[i];
        header.msg_namelen = sizeof addresses_[i];
    }
    const int got = recvmmsg(socket, messages_.data(), datagrams_at_once, MSG_DONTWAIT, nullptr);
    const auto count = static_cast<std::size_t>(std::max(got, 0));
    for (std::size_t i = 0; i < count; ++i)
        sizes_[i] = messages_[i].msg_len;
    return count;
}

void datagram_batch::used(std::size_t size, const sockaddr_storage* to) {
    sizes_[count_] = size;
    address_sizes_[count_] = to ? size_of(*to) : 0;
    if (to) addresses_[count_] = *to;
    ++count_;
}

std::size_t datagram_batch::flush(int socket) {
    for (std::size_t i = 0; i < count_; ++i) {
        parts_[i] = {buffer_of(i), sizes_[i]};
        auto& header = messages_[i].msg_hdr;
        header.msg_iovlen = 1;
        header.msg_name = address_sizes_[i] == 0 ? nullptr : &addresses_[i];
        header.msg_namelen = address_sizes_[i];
    }
    const auto count = std::exchange(count_, 0);
    if (count == 0) return 0;
    const int sent = sendmmsg(socket, messages_.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    return static_cast<std::size_t>(std::max(sent, 0));
}

void datagram_batch::flush_kept(int socket) {
    for (std::size_t n = 0; n < kept_.size(); ++n) {
        const auto i = kept_[n];
        parts_[n] = {buffer_of(i), sizes_[i]};
        auto& header = messages_[n].msg_hdr;
        header.msg_iovlen = 1;
        header.msg_name = &addresses_[i];
        header.msg_namelen = size_of(addresses_[i]);
    }
    if (!kept_.empty())
        sendmmsg(socket, messages_.data(), static_cast<unsigned>(kept_.size()), MSG_DONTWAIT);
    kept_.clear();
}

} // namespace muxsocks::load
