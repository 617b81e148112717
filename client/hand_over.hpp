#pragma once

/// \file
/// The client's part of a hand-over (protocol/program/succession.hpp): sessions and connections of
/// all its workers.

#include "client/worker.hpp"
#include "protocol/program/worker_set.hpp"

namespace muxsocks::client {

/// What this process has, for a new one.
class given_sessions final : public giving_sessions {
  public:
    explicit given_sessions(worker_set<worker>& workers) : workers_(workers) {}

    void save(std::size_t thread, const send& one) override { workers_[thread].save(one); }
    void let_go(std::size_t thread, const std::set<std::uint32_t>& refused) override {
        workers_[thread].let_go(number_, refused);
    }

  private:
    worker_set<worker>& workers_;
    std::uint32_t number_ = 0;
};

/// What the process before this one had, before the workers' threads run: each session where it
/// has a place, the rest by turns.
class taken_sessions final : public taking_sessions {
  public:
    taken_sessions(worker_set<worker>& workers, const client_tls_settings& tls)
        : workers_(workers), binds_(tls.enabled && tls.channel_binding) {}

    bool take(const session_state& state, descriptor_list& sockets) override {
        const auto one = decode_handed_session(state.owner);
        // What proves whose links are cannot change.
        if (!one || state.side != role::client || state.binds != binds_) return false;
        auto* at = &next();
        for (std::size_t i = 0; i < workers_.size() && !at->has_place_for(*one); ++i)
            at = &next();
        at->take_over(state, *one, std::move(sockets));
        return true;
    }
    void take_connection(bytes_view state, descriptor_list sockets) override {
        next().take_moved({state.begin(), state.end()}, std::move(sockets));
    }
    void give_back() override {
        for (const auto& each : workers_)
            each->give_back();
    }

  private:
    worker& next() { return workers_[next_++ % workers_.size()]; }

    worker_set<worker>& workers_;
    bool binds_;
    std::size_t next_ = 0;
};

} // namespace muxsocks::client
