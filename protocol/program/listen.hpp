#pragma once

/// \file
/// Listening sockets of both programs: how they are opened, and accepting all that waits at once.

#include "protocol/link/asio.hpp"
#include "protocol/program/settings.hpp"

#include <chrono>
#include <optional>
#include <span>
#include <string>

namespace muxsocks {

/// A listening, non-blocking socket. What accepted sockets inherit (TCP_NODELAY, SO_KEEPALIVE) is
/// set on it. An empty host is all addresses, IPv4 and IPv6. Nothing if the address may be skipped
/// and the host lacks its family. Throws std::runtime_error with a sentence that names address and
/// cure. `shared`: SO_REUSEPORT.
std::optional<tcp_acceptor> open_listener(asio::io_context& context, const listen_address& address,
                                          bool shared);

/// "127.0.0.1:1080", as bound.
std::string bound_address(const tcp_acceptor& acceptor);

/// A connected, blocking TCP socket to what listens on one of the addresses on this host, in their
/// order; all addresses are reached by loopback. `limit` is for the connect, and for each later
/// send and receive. The descriptor is the caller's. Throws std::runtime_error with a sentence.
int connect_to_own_listener(std::span<const listen_address> listening,
                            std::chrono::milliseconds limit);

enum class accept_outcome {
    drained,      ///< Nothing waits any more, or the batch is full: wait again.
    out_of_files, ///< EMFILE, ENFILE, ENOBUFS or ENOMEM: pause before waiting again.
};

/// accept4() until nothing waits, at most `batch` times; one descriptor or -1.
int accept_one(int listening, int& error);

/// Passes the descriptor of every connection that waits to `take(int)`, which owns it.
template <typename Take>
accept_outcome accept_ready(tcp_acceptor& acceptor, Take take) {
    constexpr int batch = 64;
    for (int i = 0; i < batch && acceptor.is_open(); ++i) {
        int error = 0;
        const int descriptor = accept_one(acceptor.native_handle(), error);
        if (descriptor < 0)
            return error != 0 ? accept_outcome::out_of_files : accept_outcome::drained;
        take(descriptor);
    }
    return accept_outcome::drained;
}

} // namespace muxsocks
