#pragma once

/// \file
/// An application's connection up to its request: its first byte says which protocol it speaks, a
/// front reads the request, within `timeouts.request`. A good one is handed on with the socket; a
/// bad one is answered and closed here.

#include "client/front.hpp"

#include <optional>

namespace muxsocks::client {

class accepted_connection final : public ref_counted<accepted_connection>, public listed_movable {
  public:
    accepted_connection(tcp_socket socket, const front_services& services);
    /// `bytes` has come already. `said`: what another process has answered to that, where it was
    /// its connection.
    void begin(std::string bytes = {}, std::string said = {});

    bool save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_connection_gone() override;

  private:
    /// More than a request with its answers has; beyond it the connection stays in its process.
    static constexpr std::size_t heard_max = 128 * 1024;

    void wait();
    void read();
    bool choose_front(std::uint8_t first);
    void on_input(bytes_view input);
    void answer_late(const front::step& made);
    /// What of the words another process has not said; nothing if it has said something else.
    std::optional<bytes_view> unsaid(bytes_view words);
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
    std::string heard_; ///< All that the front has got; no more than heard_max and a little.
    std::string said_;  ///< All that has gone out.
    std::string skip_;  ///< At the front of what is to go out: another process has said that.
};

} // namespace muxsocks::client
