#pragma once

/// \file
/// Letting go of a socket that another process has, too: it goes on there as it is, or nowhere.

#include "protocol/link/loop/asio.hpp"

#include <boost/asio/post.hpp>

#include <memory>
#include <sys/socket.h>
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

/// For one that has come from another process and with which nothing can go on here: whoever closes
/// it last, its peer sees RST. Only when the thread runs: until then it may be the other process's
/// after all.
inline void reset_when_running(asio::io_context& context, int descriptor) {
    if (descriptor < 0) return;
    const std::shared_ptr<int> held(new int(descriptor), [](int* each) {
        ::close(*each);
        delete each;
    });
    asio::post(context, [held] {
        const ::linger option{.l_onoff = 1, .l_linger = 0};
        (void)::setsockopt(*held, SOL_SOCKET, SO_LINGER, &option, sizeof option);
    });
}

} // namespace muxsocks
