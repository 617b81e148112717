#pragma once

/// \file
/// Opens one connection to a target through a SOCKS5 proxy (RFC 1928, RFC 1929), or directly
/// without one. Written from the RFC for the tests, so that a mistake of the project's own SOCKS
/// code is not made twice.

#include "protocol/link/loop/asio.hpp"
#include "tests/tools/quantity.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace muxsocks::tools {

struct socks_route {
    /// Empty: the target is dialled directly.
    std::optional<asio::ip::tcp::endpoint> proxy;
    std::string user; ///< empty: no authentication is offered
    std::string password;
    asio::ip::tcp::endpoint target;
    /// Sent to the proxy instead of the target's address if not empty.
    std::string target_name;
    /// For all of it.
    duration deadline = std::chrono::minutes(1);
};

class socks_dialer : public std::enable_shared_from_this<socks_dialer> {
  public:
    /// Called once: with a connected socket, or with what went wrong.
    using on_done = std::function<void(tcp_socket, const std::string& error)>;

    socks_dialer(asio::io_context& io, const socks_route& route, on_done done);
    void start();

  private:
    void connect();
    void greet();
    void authenticate();
    void request();
    void read_reply();
    void read_bnd(std::size_t bytes);
    void send(std::vector<std::uint8_t> bytes, void (socks_dialer::*next)());
    void receive(std::size_t bytes, std::function<void()> next);
    void fail(const std::string& error);
    void succeed();

    socks_route route_;
    on_done done_;
    tcp_socket socket_;
    steady_timer deadline_;
    std::vector<std::uint8_t> output_;
    std::vector<std::uint8_t> input_;
};

} // namespace muxsocks::tools
