#pragma once

/// \file
/// Lines in, answers out, on a TCP port or on standard input: the way in which a test tells the
/// relay what to do. What the lines mean is command.hpp's.

#include "protocol/link/loop/asio.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace muxsocks::tools {

using answer_line = std::function<std::string(std::string_view)>;

/// A control port: any number of connections, each line answered by one line.
class control_port {
  public:
    control_port(asio::io_context& io, const asio::ip::tcp::endpoint& listen, answer_line answer);

    asio::ip::tcp::endpoint local_endpoint() const { return acceptor_.local_endpoint(); }

  private:
    class conversation;
    void accept();

    tcp_acceptor acceptor_;
    answer_line answer_;
};

/// Answers the lines of standard input on standard output until its end; a no-op if standard input
/// is nothing that can be waited for (a regular file is read at once).
void read_standard_input(asio::io_context& io, answer_line answer);

} // namespace muxsocks::tools
