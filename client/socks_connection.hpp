#pragma once

/// \file
/// An application's connection up to its request: method negotiation, user and password, request
/// (RFC 1928, RFC 1929), within `timeouts.request`. A good request is handed on with the socket; a
/// bad one is answered and closed here.

#include "client/config.hpp"
#include "client/proxied_connection.hpp"
#include "socks5/handshake.hpp"

namespace muxsocks::client {

class socks_connection : public ref_counted<socks_connection> {
  public:
    socks_connection(link_thread& thread, tcp_socket socket, socks5::credential_check check,
                     const timeout_settings& timeouts, request_sink& sink);
    void begin();

  private:
    void wait();
    void read();
    void on_request(bytes_view rest);
    void close();

    link_thread& thread_;
    tcp_socket socket_;
    socks5::server_handshake handshake_;
    request_sink& sink_;
    std::chrono::milliseconds wait_for_link_;
    deadline limit_;
};

} // namespace muxsocks::client
