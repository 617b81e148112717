#include "tests/attack/link.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <stdexcept>
#include <utility>

namespace muxsocks::attack {
namespace {

using boost::system::error_code;
using boost::system::system_error;

constexpr auto connect_time = std::chrono::seconds(10);
constexpr std::size_t read_bytes = std::size_t{256} << 10U;

[[noreturn]] void fail(asio::error::basic_errors why) { throw system_error(error_code(why)); }

/// All links of the thread read into one buffer: thousands of idle ones hold none.
std::array<std::uint8_t, read_bytes> scratch;

/// PROXY protocol, version 2: a connection from the address to ::1.
bytes proxy_header(const asio::ip::address_v6& from) {
    constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
    constexpr std::uint8_t version_and_command = 0x21;
    constexpr std::uint8_t tcp_over_ipv6 = 0x21;
    constexpr std::uint8_t length = 36;
    bytes header(signature.begin(), signature.end());
    header.insert(header.end(), {version_and_command, tcp_over_ipv6, 0, length});
    for (const auto& address : {from, asio::ip::address_v6::loopback()})
        for (const auto each : address.to_bytes())
            header.push_back(each);
    header.insert(header.end(), {0x30, 0x39, 0x01, 0xbb});
    return header;
}

SSL_CTX* tls_context() {
    static SSL_CTX* const made = [] {
        SSL_CTX* context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        constexpr unsigned char alpn[] = "\x0amuxsocks/2";
        SSL_CTX_set_alpn_protos(context, alpn, sizeof alpn - 1);
        return context;
    }();
    return made;
}

} // namespace

endpoint parse_endpoint(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) throw std::invalid_argument("no port in " + text);
    std::string host = text.substr(0, colon);
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    return {asio::ip::make_address(host),
            static_cast<std::uint16_t>(std::stoul(text.substr(colon + 1)))};
}

asio::ip::address stranger(std::size_t n) {
    return asio::ip::address_v4(0x7f10'0000U +
                                static_cast<std::uint32_t>(n / 254 * 256 + n % 254 + 1));
}

asio::ip::address ipv6_stranger(std::uint16_t block, std::size_t n) {
    asio::ip::address_v6::bytes_type address{0x20, 0x01, 0x0d, 0xb8};
    address[4] = static_cast<std::uint8_t>(block >> 8U);
    address[5] = static_cast<std::uint8_t>(block);
    address[6] = static_cast<std::uint8_t>(n >> 8U);
    address[7] = static_cast<std::uint8_t>(n);
    address[15] = 1;
    return asio::ip::address_v6(address);
}

awaitable<void> pause(asio::io_context& io, std::chrono::nanoseconds time) {
    steady_timer timer(io.get_executor(), time);
    co_await timer.async_wait(asio::use_awaitable);
}

link::link(asio::io_context& io, destination where)
    : io_(io), where_(std::move(where)), socket_(io), deadline_(io.get_executor()) {}

awaitable<void> link::connect() {
    co_await connect_tcp();
    co_await connect_tls();
}

awaitable<void> link::connect_tcp() {
    deadline_.expires_after(connect_time);
    deadline_.async_wait([this, alive = std::weak_ptr(alive_)](error_code cancelled) {
        if (!cancelled && !alive.expired()) cut();
    });
    socket_.open(where_.server.protocol());
    const int one = 1;
    // The port is chosen when the other end is known, so one address has enough of them.
    (void)::setsockopt(socket_.native_handle(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
                       sizeof one);
    if (!where_.source.is_unspecified()) socket_.bind({where_.source, 0});
    co_await socket_.async_connect(where_.server, asio::use_awaitable);
    socket_.non_blocking(true);
    socket_.set_option(asio::ip::tcp::no_delay(true));
    if (where_.claimed.is_v6() && !where_.claimed.is_unspecified()) {
        const auto header = proxy_header(where_.claimed.to_v6());
        socket_.write_some(asio::buffer(header));
    }
    if (!where_.tls) deadline_.cancel();
}

awaitable<void> link::connect_tls() {
    if (!where_.tls) co_return;
    ssl_.reset(SSL_new(tls_context()));
    to_tls_ = BIO_new(BIO_s_mem());
    from_tls_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), to_tls_, from_tls_);
    SSL_set_connect_state(ssl_.get());
    while (SSL_do_handshake(ssl_.get()) != 1) {
        drain_tls();
        co_await read_some();
    }
    drain_tls();
    take({});
    deadline_.cancel();
}

bytes link::exporter() const {
    if (!ssl_) return {};
    constexpr std::string_view label = "EXPORTER-muxsocks";
    bytes material(32);
    SSL_export_keying_material(ssl_.get(), material.data(), material.size(), label.data(),
                               label.size(), nullptr, 0, 0);
    return material;
}

void link::send(view plain) {
    if (!open()) return;
    if (ssl_) {
        SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
        drain_tls();
    } else {
        output_.insert(output_.end(), plain.begin(), plain.end());
        write();
    }
}

void link::send_key_updates(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(ssl_.get());
    }
    drain_tls();
}

void link::drain_tls() {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(from_tls_, &data);
    if (size <= 0) return;
    output_.insert(output_.end(), data, data + size);
    (void)BIO_reset(from_tls_);
    write();
}

void link::write() {
    if (writing_ || output_.empty() || !open()) return;
    writing_ = true;
    in_write_.swap(output_);
    asio::async_write(socket_, asio::buffer(in_write_),
                      [this, alive = std::weak_ptr(alive_)](error_code error, std::size_t) {
                          if (alive.expired()) return;
                          writing_ = false;
                          in_write_.clear();
                          if (error) failed_ = true;
                          write();
                      });
}

awaitable<void> link::drained(std::size_t waiting_max) {
    while (open() && waiting() > waiting_max)
        co_await pause(io_, std::chrono::milliseconds(1));
}

awaitable<void> link::read_some() {
    co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, asio::use_awaitable);
    error_code error;
    const auto count = socket_.read_some(asio::buffer(scratch), error);
    if (error == asio::error::would_block) co_return;
    if (error) {
        failed_ = true;
        throw system_error(error);
    }
    take({scratch.data(), count});
}

void link::take(view from_socket) {
    if (!ssl_) {
        input_.insert(input_.end(), from_socket.begin(), from_socket.end());
        return;
    }
    BIO_write(to_tls_, from_socket.data(), static_cast<int>(from_socket.size()));
    if (!SSL_is_init_finished(ssl_.get())) return;
    for (;;) {
        constexpr std::size_t record_bytes = 16'384;
        const auto before = input_.size();
        input_.resize(before + record_bytes);
        const int count = SSL_read(ssl_.get(), input_.data() + before, record_bytes);
        input_.resize(before + static_cast<std::size_t>(std::max(count, 0)));
        if (count <= 0) break;
    }
    drain_tls();
}

bool link::has_frame() const {
    const auto left = input_.size() - taken_;
    return left >= wire::header_bytes &&
           left >= wire::header_bytes + wire::payload_bytes(view(input_).subspan(taken_));
}

awaitable<wire::frame> link::receive() {
    while (!has_frame()) {
        input_.erase(input_.begin(), input_.begin() + static_cast<std::ptrdiff_t>(taken_));
        taken_ = 0;
        if (!open()) fail(asio::error::not_connected);
        co_await read_some();
    }
    auto found = wire::read_frame(view(input_).subspan(taken_));
    taken_ += wire::header_bytes + found.payload.size();
    if (taken_ == input_.size()) {
        taken_ = 0;
        bytes().swap(input_);
    }
    co_return found;
}

awaitable<void> link::ended() {
    error_code error;
    while (!error && open()) {
        co_await socket_.async_wait(asio::ip::tcp::socket::wait_read,
                                    asio::redirect_error(asio::use_awaitable, error));
        if (error) break;
        const auto count = socket_.read_some(asio::buffer(scratch), error);
        if (error == asio::error::would_block)
            error = {};
        else if (error)
            failed_ = true;
        else if (ssl_)
            take({scratch.data(), count});
        bytes().swap(input_);
        taken_ = 0;
    }
}

void link::finish() {
    error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

void link::cut() {
    error_code ignored;
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
}

} // namespace muxsocks::attack
