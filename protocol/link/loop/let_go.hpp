#pragma once

/// \file
/// Letting go of a socket that another process has, too: it goes on there as it is, or nowhere.

#include "protocol/link/loop/asio.hpp"

#include <unistd.h>

namespace muxsocks {

template <class Socket>
void let_go(Socket& socket) {
    if (!socket.is_open()) return;
    // Out of the event loop first: closing does not take out what another process has, too.
    boost::system::error_code ignored;
    const int descriptor = socket.release(ignored);
    if (!ignored) ::close(descriptor);
}

} // namespace muxsocks
