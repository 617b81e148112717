#pragma once

/// \file
/// A UDP socket whose datagrams are read one by one, straight to where they belong, each with its
/// age by the kernel's clock; what has waited for too long is told apart. Many are sent with one
/// system call, and those of one size to one address go through the kernel's stack together (UDP
/// segmentation, Linux 4.18). It never blocks, and never reports what happened to an earlier
/// datagram.

#include "protocol/byte_order.hpp"
#include "protocol/link/loop/asio.hpp"

#include <boost/asio/basic_datagram_socket.hpp>
#include <boost/asio/ip/udp.hpp>

#include <chrono>
#include <functional>
#include <span>
#include <system_error>

namespace muxsocks {

using udp_socket = asio::basic_datagram_socket<asio::ip::udp, executor>;

class datagram_socket {
  public:
    /// The largest payload of UDP over IPv4 (RFC 768, RFC 791).
    static constexpr std::size_t payload_max = 65'507;
    /// What waits in the kernel, with its overhead; time bounds it in the first place.
    static constexpr int receive_buffer = 256 * 1024;

    explicit datagram_socket(const executor& on) : socket_(on) {}

    /// Bound to any port of `local`'s address, or to its port if that is not 0.
    std::error_code bind(const asio::ip::udp::endpoint& local);
    /// One of another process's, from bind() or bind_any(). False leaves it the caller's.
    bool adopt(int descriptor);
    /// It goes on in another process as it is.
    void let_go();
    /// Of the open socket: for who hands it over.
    int descriptor() { return socket_.native_handle(); }
    /// A socket for both families, or for IPv4 where the system has no IPv6; any address and port.
    std::error_code bind_any();

    enum class outcome : std::uint8_t {
        none,     ///< Nothing waits.
        taken,    ///< `bytes` from `from`.
        too_old,  ///< It has waited for longer than `age_max`, and is gone.
        too_long, ///< It did not fit into `into`, and is gone.
    };
    struct received {
        outcome what = outcome::none;
        std::size_t bytes = 0;
        asio::ip::udp::endpoint from{}; ///< IPv4 is IPv4, on a socket for both, too.
    };
    /// `head` gets the first bytes, `into` what follows them; `bytes` counts both. A datagram that
    /// is shorter than `head` is taken, too. `age_max` 0: of any age.
    received receive(bytes_span head, bytes_span into, std::chrono::nanoseconds age_max);
    /// The error is this datagram's: EAGAIN where the kernel has no room, ENETUNREACH and so on.
    std::error_code send(bytes_view head, bytes_view bytes, const asio::ip::udp::endpoint& to);

    struct outgoing {
        bytes_view bytes;
        asio::ip::udp::endpoint to;
        bool sent = false; ///< Whether the kernel has taken it.
    };
    /// More than so many together gain nothing.
    static constexpr std::size_t batch_max = 64;
    /// Sends them in order, at most batch_max, each with `head` in front, and says of each whether
    /// it was sent. Where the kernel has no room for one, those behind it are lost, too.
    void send_all(bytes_view head, std::span<outgoing> all);

    /// Calls `handler(error)` once there is something to receive, or the socket was closed.
    template <typename Handler>
    void async_wait(Handler&& handler) {
        socket_.async_wait(udp_socket::wait_read, std::forward<Handler>(handler));
    }
    void close();
    bool is_open() const { return socket_.is_open(); }
    asio::ip::udp::endpoint local() const;
    /// Datagrams that the kernel had no room for.
    std::uint32_t dropped_by_kernel() const { return dropped_; }
    /// The longest ones, with their heads, that the kernel is thought to cut apart itself; 0: none.
    /// It falls where that fails.
    std::size_t segment_limit() const { return segment_limit_; }

  private:
    std::error_code open(const asio::ip::udp& family);
    /// The address as the socket's family has it.
    asio::ip::udp::endpoint mapped(const asio::ip::udp::endpoint& to) const;
    /// How many from the first one on may leave as one: 1, or those of its size and destination.
    std::size_t together(bytes_view head, std::span<const outgoing> all) const;
    /// Returns whether any of them was sent.
    bool send_singly(bytes_view head, std::span<outgoing> all);

    udp_socket socket_;
    bool both_ = false; ///< Whether it is one for both families.
    std::size_t segment_limit_ = 0;
    std::uint32_t dropped_ = 0;
};

} // namespace muxsocks
