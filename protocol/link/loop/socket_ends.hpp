#pragma once

/// \file
/// How a connection ends with a reset, and what a reset would take along.

#include "protocol/link/loop/asio.hpp"

#include <cstddef>

namespace muxsocks {

/// However the socket is closed from here on, by the end of the process too, its peer sees RST; or
/// not, if `reset` is false.
void make_close_a_reset(int descriptor, bool reset = true);
inline void make_close_a_reset(tcp_socket& socket) { make_close_a_reset(socket.native_handle()); }

/// Closes a socket so that its peer sees RST.
void close_with_reset(tcp_socket& socket);

/// Bytes in the socket that have not been sent yet, which RST would drop.
std::size_t unsent_bytes(tcp_socket& socket);

} // namespace muxsocks
