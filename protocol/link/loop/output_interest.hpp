#pragma once

/// \file
/// Asio registers a socket for writability at its first wait for that and never takes it back.
/// Registrations are edge-triggered and every wait for input renews them, so that such a socket,
/// which nearly always is writable, wakes the event loop once for nothing at each of them.

#include "protocol/link/loop/asio.hpp"

#include <cstdint>

namespace muxsocks {

/// Registers the socket anew, for input only. No wait may be pending on it. Best effort: if it
/// cannot be done the socket is closed, which every caller finds out at its next use.
void forget_output_interest(tcp_socket& socket);

/// Does that for a socket that waits for writability now and then, once it has not for a while.
class output_interest {
  public:
    void on_wait() {
        registered_ = true;
        inputs_ = 0;
    }
    /// Input has come; no wait is pending on the socket.
    void on_input(tcp_socket& socket) {
        if (!registered_ || ++inputs_ < inputs_before_) return;
        registered_ = false;
        forget_output_interest(socket);
    }

  private:
    static constexpr std::uint8_t inputs_before_ = 32;

    bool registered_ = false;
    std::uint8_t inputs_ = 0; ///< Since the last wait for writability.
};

} // namespace muxsocks
