#pragma once

/// \file
/// The server's side of a hand-over (protocol/program/hand_over.hpp): who gives goes through the
/// sessions one by one, each in its thread, and who takes spreads them over its own. Both run in a
/// thread that may wait.

#include "protocol/program/hand_over.hpp"
#include "protocol/program/worker_set.hpp"
#include "server/worker.hpp"

namespace muxsocks::server {

/// What the giving process does around its sessions, called in its first thread.
struct giving_steps {
    std::function<std::vector<int>()> pause_listeners;
    std::function<void()> accept_again;
    std::function<void(int new_process)> give_place;
};

/// Whether the place was given. If not, all that was not taken goes on as if nothing had been.
bool give_place(hand_over_channel& to, worker_set<worker>& workers, shared_state& shared,
                const giving_steps& steps, const std::function<void()>& withdraw);

/// Says who is there; returns the listeners. Throws std::runtime_error with a sentence if the old
/// process refuses.
std::vector<int> ask_for_place(hand_over_channel& from);
/// Takes what the old process gives, until it has no more.
void take_place(hand_over_channel& from, worker_set<worker>& workers, shared_state& shared);

} // namespace muxsocks::server
