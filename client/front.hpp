#pragma once

/// \file
/// One protocol that applications speak to the port, as far as a whole request: bytes in, bytes and
/// a verdict out. Sockets, time-outs and the log are accepted_connection's; what follows a request
/// is pending_request's.

#include "client/config.hpp"
#include "client/movable.hpp"
#include "client/pending_request.hpp"
#include "protocol/byte_order.hpp"
#include "socks5/credentials.hpp"

#include <memory>
#include <string>

namespace muxsocks::client {

/// What the pages of the port say of the client.
struct page_facts {
    /// See config::pac_host.
    std::string pac_host{};
    /// Of the proxy configuration: see pac_statements().
    std::string direct{};
    /// One line a link, for people; nothing where only users may see it.
    std::function<std::vector<std::string>()> links{};
};

/// What fronts need of their worker, as long as one connection lives.
struct front_services {
    link_thread& thread;
    request_sink& sink;
    /// None: nobody has to log in.
    std::shared_ptr<const socks5::credentials> users;
    /// How long a request may take to come, and then to wait for a link.
    std::chrono::milliseconds limit;
    std::chrono::milliseconds wait;
    /// Of accepted_protocols.
    std::uint8_t accept = accepted_protocols::all;
    std::shared_ptr<const page_facts> pages{};
    /// None: UDP is switched off.
    std::shared_ptr<const udp_settings> udp{};
    /// Where connections without a stream are found for a hand-over.
    movable_list* movables = nullptr;
};

class front {
  public:
    enum class verdict : std::uint8_t {
        need_more, ///< After to_send, more of the application's bytes.
        ready,     ///< proceed() follows.
        failed,    ///< After to_send the connection is closed.
    };
    struct step {
        verdict result = verdict::need_more;
        /// Bytes taken from the input: all of them, but for what is behind a whole request.
        std::size_t used = 0;
        /// To be sent first, in every case. Valid until the next call.
        bytes_view to_send{};
        /// Whether a password was wrong, so that the answer must not come at once.
        bool guessed = false;
        /// For the log, when failed: one sentence. Empty: not worth one.
        std::string failure{};
    };

    virtual ~front() = default;
    /// For the log.
    virtual const char* protocol() const = 0;
    virtual step on_input(bytes_view input) = 0;
    /// Passes the request on, with the socket. `rest` is what came behind it.
    virtual void proceed(tcp_socket socket, bytes_view rest) = 0;
};

/// What the first byte of a connection says.
enum class spoken : std::uint8_t { socks5, socks4, http, tls, unknown };

/// RFC 1928, section 3; SOCKS4's VN; a method's first letter (RFC 9110, section 9.1); a TLS record
/// with a handshake (RFC 8446, section 5.1).
constexpr spoken recognise(std::uint8_t first) {
    if (first == 0x05) return spoken::socks5;
    if (first == 0x04) return spoken::socks4;
    if (first >= 'A' && first <= 'Z') return spoken::http;
    if (first == 0x16) return spoken::tls;
    return spoken::unknown;
}

std::unique_ptr<front> make_socks5_front(const front_services& services);
std::unique_ptr<front> make_socks4_front(const front_services& services);
std::unique_ptr<front> make_http_front(const front_services& services);

} // namespace muxsocks::client
