#pragma once

/// \file
/// One connection to a server, plain or with TLS 1.3, from any address of loopback: frames out and
/// in. TLS is OpenSSL between two buffers of ours, so that its messages can be made by the
/// thousand. The server's certificate is not verified. One thread; coroutines throw
/// boost::system::system_error.

#include "protocol/link/loop/asio.hpp"
#include "tests/attack/wire.hpp"

#include <boost/asio/awaitable.hpp>

#include <openssl/ssl.h>

#include <memory>
#include <string>

namespace muxsocks::attack {

using asio::awaitable;
using endpoint = asio::ip::tcp::endpoint;

/// "127.0.0.1:443" or "[::1]:443".
endpoint parse_endpoint(const std::string& text);

/// 127.16.x.y, the n-th of as many, none of them anybody else's.
asio::ip::address stranger(std::size_t n);

struct destination {
    endpoint server;
    bool tls = true;
    /// Where the connection comes from; unspecified: the kernel's choice.
    asio::ip::address source;
    /// What a header of PROXY protocol says instead; unspecified: there is none.
    asio::ip::address claimed;
};

/// The n-th /64 of 2001:db8:BLOCK::/48, as one host there.
asio::ip::address ipv6_stranger(std::uint16_t block, std::size_t n);

/// Resumes after so long.
awaitable<void> pause(asio::io_context& io, std::chrono::nanoseconds time);

class link {
  public:
    link(asio::io_context& io, destination where);

    /// TCP, then the handshake of TLS if there is any, within 10 seconds.
    awaitable<void> connect();
    awaitable<void> connect_tcp();
    awaitable<void> connect_tls();

    /// Puts frames behind what waits to be sent; the sending goes on by itself.
    void send(view plain);
    /// Resumes when no more than so many bytes wait, or the link has ended.
    awaitable<void> drained(std::size_t waiting_max);
    /// The next frame. Throws at the end of the link.
    awaitable<wire::frame> receive();
    /// Whether a whole frame is there already.
    bool has_frame() const;

    /// Puts `count` KeyUpdate messages there that ask for an answer.
    void send_key_updates(std::size_t count);
    /// Resumes at the end of the link; what comes is thrown away, TLS and all.
    awaitable<void> ended();

    void finish(); ///< end of file
    void cut();    ///< RST
    bool open() const { return socket_.is_open() && !failed_; }
    bytes exporter() const;
    std::size_t waiting() const { return output_.size() + in_write_.size(); }

  private:
    struct ssl_free {
        void operator()(SSL* ssl) const { SSL_free(ssl); }
    };

    awaitable<void> read_some();
    void take(view from_socket);
    void drain_tls();
    void write();

    asio::io_context& io_;
    destination where_;
    asio::ip::tcp::socket socket_;
    steady_timer deadline_;
    std::unique_ptr<SSL, ssl_free> ssl_;
    BIO* to_tls_ = nullptr;
    BIO* from_tls_ = nullptr;
    bytes input_;
    std::size_t taken_ = 0;
    bytes output_;
    bytes in_write_;
    bool writing_ = false;
    bool failed_ = false;
    /// Keeps what an operation under way names.
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

} // namespace muxsocks::attack
