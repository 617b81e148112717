#pragma once

/// \file
/// Asks the target what it has counted, over a connection of its own past every proxy.

#include "benchmarks/load/socket.hpp"
#include "benchmarks/load/transfer.hpp"

namespace muxsocks::load {

class counters_client {
  public:
    /// Connects, blocking. Throws std::runtime_error when the target is not there.
    counters_client(const endpoint& target, const socket_settings& settings);

    /// Blocks until the answer is there. Throws std::runtime_error when the target is gone.
    target_counters read();

  private:
    file_descriptor socket_;
};

} // namespace muxsocks::load
