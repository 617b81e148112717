#pragma once

/// \file
/// Listening sockets of both programs: how they are opened, and accepting all that waits at once.

#include "protocol/link/loop/asio.hpp"
#include "protocol/program/settings.hpp"

#include <cerrno>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace muxsocks {

/// A listening, non-blocking socket. What accepted sockets inherit (TCP_NODELAY, SO_KEEPALIVE) is
/// set on it. An empty host is all addresses, IPv4 and IPv6. Nothing if the address may be skipped
/// and the host lacks its family. Throws std::runtime_error with a sentence that names address and
/// cure.
std::optional<tcp_acceptor> open_listener(asio::io_context& context, const listen_address& address);

/// A listening socket of another process, by the name that its configuration has for it, as
/// to_string(listen_address) writes it.
struct inherited_listener {
    std::string name;
    int descriptor = -1;
};

/// The same with the socket of another process that has this name, if there is one: it is taken
/// out. A path gets the mode and group that are wanted here.
std::optional<tcp_acceptor> adopt_listener(asio::io_context& context, const listen_address& address,
                                           std::vector<inherited_listener>& inherited);

/// "127.0.0.1:1080", as bound; of other sockets their name.
std::string bound_address(const tcp_acceptor& acceptor, const listen_address& address);

/// A connected, blocking TCP socket to what listens on one of the addresses on this host, in their
/// order; all addresses are reached by loopback. `limit` is for the connect, and for each later
/// send and receive. The descriptor is the caller's. Throws std::runtime_error with a sentence.
int connect_to_own_listener(std::span<const listen_address> listening,
                            std::chrono::milliseconds limit);

/// accept4() once: a descriptor, or -1 with errno.
int accept_one(int listening);

/// Passes the descriptor of every connection that waits to `take(int)`, which owns it; 64 at most.
/// Returns 0, or the errno with which the listener should pause: too few files, or whatever else
/// will not pass by itself.
template <typename Take>
int accept_ready(tcp_acceptor& acceptor, Take&& take) {
    constexpr int batch = 64;
    for (int i = 0; i < batch && acceptor.is_open(); ++i) {
        const int descriptor = accept_one(acceptor.native_handle());
        if (descriptor >= 0) {
            take(descriptor);
            continue;
        }
        if (errno == EAGAIN) return 0;
        // A connection that is gone already.
        if (errno != EINTR && errno != ECONNABORTED) return errno;
    }
    return 0;
}

} // namespace muxsocks
