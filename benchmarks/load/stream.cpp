#include "benchmarks/load/stream.hpp"

#include "benchmarks/load/socks_wire.hpp"

#include <cerrno>
#include <cstring>
#include <vector>

#include <sys/socket.h>

namespace muxsocks::load {

namespace {

constexpr std::size_t method_answer_bytes = 2;
constexpr std::size_t reply_bytes_ipv4 = 3 + socks_address_bytes(atyp_ipv4);
constexpr std::size_t reply_bytes_ipv6 = 3 + socks_address_bytes(atyp_ipv6);

std::vector<std::uint8_t> socks_request(const endpoint& target) {
    std::vector<std::uint8_t> bytes{socks_version, 1, 0};
    append_socks_address(bytes, target);
    return bytes;
}

constexpr std::size_t answer_head_max = 4096;

/// RFC 9110, section 9.3.6, and a request in absolute form (RFC 9112, section 3.2.2).
std::string http_request(const route& way, std::uint64_t body_bytes) {
    const std::string host = way.target.text();
    if (way.http) return "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    return "POST http://" + host + "/ HTTP/1.1\r\nHost: " + host +
           "\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n\r\n";
}

} // namespace

const endpoint& route::first_hop() const {
    for (const auto* proxy : {&socks, &http, &forwarder})
        if (*proxy) return **proxy;
    return *direct;
}

void stream::start() {
    failure_.clear();
    answer_bytes_ = 0;
    answer_head_.clear();
    auto begun = connect_to(way_.first_hop(), way_.settings);
    socket_ = std::move(begun.socket);
    if (!socket_) {
        fail(std::string("connect: ") + std::strerror(errno));
        return;
    }
    state_ = state::connecting;
    loop_.watch(socket_.get(), begun.connected ? EPOLLIN : EPOLLOUT, *this);
    if (begun.connected) on_connected();
}

void stream::on_ready(std::uint32_t events) {
    switch (state_) {
    case state::connecting:
        if (const int error = pending_error(socket_.get()); error != 0) {
            fail(std::string("connect: ") + std::strerror(error));
            return;
        }
        watch(EPOLLIN);
        on_connected();
        return;
    case state::method:
    case state::reply:
        on_handshake();
        return;
    case state::open:
        on_io(events);
        return;
    case state::idle:
    case state::ended:
        return;
    }
}

void stream::on_connected() {
    if (way_.http || way_.forwarder) {
        state_ = state::reply;
        const auto head = http_request(way_, bytes_to_send());
        send_small(head.data(), head.size());
        return;
    }
    if (!way_.socks) {
        state_ = state::open;
        on_open();
        return;
    }
    state_ = state::method;
    constexpr std::array<std::uint8_t, 3> greeting{socks_version, 1, 0};
    send_small(greeting.data(), greeting.size());
}

/// The target says nothing before it is asked, so that nothing stands behind the head.
void stream::on_answer_head() {
    const auto bytes = receive(answer_head_max);
    if (!bytes) return;
    answer_head_.append(bytes->begin(), bytes->end());
    if (!answer_head_.ends_with("\r\n\r\n")) {
        if (answer_head_.size() > answer_head_max) fail("the answer of the proxy has no end");
        return;
    }
    if (!answer_head_.starts_with("HTTP/1.1 200")) {
        fail("the proxy answered " + answer_head_.substr(0, answer_head_.find('\r')));
        return;
    }
    state_ = state::open;
    on_open();
}

void stream::on_handshake() {
    if (!way_.socks) return on_answer_head();
    std::size_t wanted = state_ == state::method ? method_answer_bytes : reply_bytes_ipv4;
    if (state_ == state::reply && answer_bytes_ >= 4) {
        if (answer_[3] == atyp_ipv6) wanted = reply_bytes_ipv6;
    }
    // Never beyond the reply: what follows belongs to the work.
    const ssize_t size =
        recv(socket_.get(), answer_.data() + answer_bytes_, wanted - answer_bytes_, MSG_DONTWAIT);
    if (size <= 0) {
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
        fail(size == 0 ? "the proxy closed during the SOCKS handshake"
                       : std::string("SOCKS handshake: ") + std::strerror(errno));
        return;
    }
    answer_bytes_ += static_cast<std::size_t>(size);
    if (state_ == state::method) {
        if (answer_bytes_ < wanted) return;
        if (answer_[0] != socks_version || answer_[1] != 0) {
            fail("the proxy wants a method of authentication that is not offered");
            return;
        }
        send_request();
        return;
    }
    if (answer_bytes_ >= 2 && answer_[1] != 0) {
        fail("the proxy refused with REP " + std::to_string(answer_[1]));
        return;
    }
    if (answer_bytes_ >= 4 && answer_[3] == atyp_ipv6) wanted = reply_bytes_ipv6;
    if (answer_bytes_ < wanted) return;
    state_ = state::open;
    on_open();
}

void stream::send_request() {
    state_ = state::reply;
    answer_bytes_ = 0;
    const auto bytes = socks_request(way_.target);
    send_small(bytes.data(), bytes.size());
}

std::optional<std::span<std::uint8_t>> stream::receive(std::size_t bytes_max) {
    const auto buffer = loop_.shared_buffer();
    const ssize_t size =
        recv(socket_.get(), buffer.data(), std::min(buffer.size(), bytes_max), MSG_DONTWAIT);
    if (size > 0) return buffer.first(static_cast<std::size_t>(size));
    if (size == 0) {
        fail("the stream ended too early");
    } else if (errno != EAGAIN && errno != EINTR) {
        fail(std::string("receive: ") + std::strerror(errno));
    }
    return std::nullopt;
}

bool stream::send_small(const void* bytes, std::size_t size) {
    const ssize_t sent = send(socket_.get(), bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == static_cast<ssize_t>(size)) return true;
    fail(std::string("send: ") + (sent < 0 ? std::strerror(errno) : "taken in part only"));
    return false;
}

void stream::finish() {
    socket_.reset();
    state_ = state::ended;
    on_end();
}

void stream::fail(std::string why) {
    failure_ = std::move(why);
    finish();
}

} // namespace muxsocks::load
