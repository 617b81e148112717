#pragma once

/// \file
/// The server's part of a hand-over (protocol/program/succession.hpp): the sessions of all its
/// workers.

#include "protocol/program/worker_set.hpp"
#include "server/usage_file.hpp"
#include "server/worker.hpp"

namespace muxsocks::server {

/// The sessions of this process, for a new one.
class given_sessions final : public giving_sessions {
  public:
    /// `usage`: null without accounting.
    given_sessions(worker_set<worker>& workers, shared_state& shared, usage_file* usage)
        : workers_(workers), shared_(shared), usage_(usage) {}

    void save(std::size_t thread, const send& one) override {
        workers_[thread].save(one);
        // The new process reads it once it has all.
        if (usage_ && thread + 1 == workers_.size()) usage_->write_now();
    }
    void let_go(std::size_t thread, const std::set<std::uint32_t>& refused) override {
        shared_.moving = true;
        if (usage_) usage_->let_go();
        workers_[thread].let_go(number_, refused);
    }

  private:
    worker_set<worker>& workers_;
    shared_state& shared_;
    usage_file* usage_;
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
