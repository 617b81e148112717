#pragma once

/// \file
/// The server's part of a hand-over (protocol/program/succession.hpp): the sessions of all its
/// workers.

#include "protocol/program/worker_set.hpp"
#include "server/worker.hpp"

namespace muxsocks::server {

/// The sessions of this process, for a new one.
class served_sessions final : public giving_sessions {
  public:
    served_sessions(worker_set<worker>& workers, shared_state& shared)
        : workers_(workers), shared_(shared) {}

    void save(std::size_t thread, const send& one) override { workers_[thread].save(one); }
    void let_go(std::size_t thread, const std::set<std::uint32_t>& refused) override {
        shared_.moving = true;
        workers_[thread].let_go(number_, refused);
    }

  private:
    worker_set<worker>& workers_;
    shared_state& shared_;
    std::uint32_t number_ = 0;
};

/// Before the workers' threads run. Throws std::runtime_error with a sentence if the other process
/// goes on.
void take_sessions(predecessor& from, worker_set<worker>& workers);

} // namespace muxsocks::server
