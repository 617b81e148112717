#pragma once

/// \file
/// The server's part of a hand-over (protocol/program/succession.hpp): the sessions of all its
/// workers.

#include "protocol/program/worker_set.hpp"
#include "server/worker.hpp"

namespace muxsocks::server {

/// The sessions of this process, for a new one.
class given_sessions final : public giving_sessions {
  public:
    given_sessions(worker_set<worker>& workers, shared_state& shared)
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

/// Those of the process before this one, before the workers' threads run: by turns.
class taken_sessions final : public taking_sessions {
  public:
    explicit taken_sessions(worker_set<worker>& workers) : workers_(workers) {}

    bool take(const session_state& state, descriptor_list sockets) override {
        if (!workers_.first().may_take_over(state)) return false;
        workers_[next_++ % workers_.size()].take_over(state, std::move(sockets));
        return true;
    }
    void give_back() override {
        for (const auto& each : workers_)
            each->give_back();
    }

  private:
    worker_set<worker>& workers_;
    std::size_t next_ = 0;
};

} // namespace muxsocks::server
