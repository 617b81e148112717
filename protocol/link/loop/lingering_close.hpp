#pragma once

/// \file
/// A close that lets the last words arrive: with unread input in the socket, close() alone would
/// become a reset that takes them along.

#include "protocol/byte_order.hpp"
#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"

namespace muxsocks {

/// Sends `last_words` (as much as the socket takes at once), ends the sending side, and discards
/// input until the peer closes, for two seconds at most. The socket is gone when this returns.
void close_lingering(deadlines& clock, tcp_socket socket, bytes_view last_words);

} // namespace muxsocks
