#pragma once

/// \file
/// The target's UDP side: echoes datagrams, and sends the flows that are asked for (flow.hpp).

#include "benchmarks/load/datagram.hpp"
#include "benchmarks/load/flow.hpp"

#include <chrono>
#include <map>
#include <string>

namespace muxsocks::load {

class datagram_target {
  public:
    explicit datagram_target(const endpoint& local);

    int socket() const { return socket_.get(); }
    /// Waits for datagrams, for at most `wait`, and serves them.
    void turn(std::chrono::milliseconds wait);

  private:
    struct flow {
        flow_sender sender;
        sockaddr_storage to{};
    };

    void serve(std::size_t i);
    void send_flows();

    file_descriptor socket_;
    datagram_batch received_;
    datagram_batch sent_;
    std::map<std::string, flow> flows_; ///< by the bytes of the address, and the id
};

} // namespace muxsocks::load
