#pragma once

/// \file
/// An application's connection up to its request: its first byte says which protocol it speaks, a
/// front reads the request, within `timeouts.request`. A good one is handed on with the socket; a
/// bad one is answered and closed here.

#include "client/front.hpp"

namespace muxsocks::client {

class accepted_connection : public ref_counted<accepted_connection> {
  public:
    accepted_connection(tcp_socket socket, const front_services& services);
    /// `bytes` has come already.
    void begin(std::string bytes = {});

  private:
    void wait();
    void read();
    bool choose_front(std::uint8_t first);
    void on_input(bytes_view input);
    void answer_late(const front::step& made);
    /// Whether the socket has taken it all: it is little, and the first that is sent.
    bool send(bytes_view words);
    /// What the step has to say, and what follows from that.
    void answer(const front::step& made);
    void fail(const front::step& made);
    void close();

    tcp_socket socket_;
    front_services services_;
    std::unique_ptr<front> front_;
    deadline limit_;
    /// A step whose answer has to wait.
    std::unique_ptr<front::step> late_;
};

} // namespace muxsocks::client
