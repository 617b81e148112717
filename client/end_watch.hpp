#pragma once

/// \file
/// Whether an application goes away while its request waits. Its connection is looked at, not read:
/// what it has said meanwhile stays there for whoever has the connection afterwards.

#include "protocol/link/loop/asio.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace muxsocks::client {

class end_watch {
  public:
    /// Calls `gone` once if the application closes or resets `socket`, which stays in its place
    /// until stop() or drop().
    void start(tcp_socket& socket, std::function<void()> gone) {
        gone_ = std::make_shared<std::function<void()>>(std::move(gone));
        socket.async_wait(tcp_socket::wait_read,
                          [&socket, watched = std::weak_ptr(gone_)](auto error) {
                              // Nothing is touched before it is known to be watched still.
                              const auto call = watched.lock();
                              if (!error && call && has_ended(socket)) (*call)();
                          });
    }
    /// Nothing is called any more, and the socket is free for others to wait for.
    void stop(tcp_socket& socket) {
        if (!std::exchange(gone_, nullptr)) return;
        boost::system::error_code ignored;
        socket.cancel(ignored);
    }
    /// Nothing is called any more. The socket is let go of by another way, and its wait with it.
    void drop() { gone_.reset(); }

  private:
    static bool has_ended(tcp_socket& socket) {
        std::uint8_t byte = 0;
        const auto size = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        return size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR);
    }

    std::shared_ptr<std::function<void()>> gone_; ///< There while it watches.
};

} // namespace muxsocks::client
