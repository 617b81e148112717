#include "server/hand_over.hpp"

namespace muxsocks::server {

void take_sessions(predecessor& from, worker_set<worker>& workers) {
    auto all = from.take_sessions(
        [&](const session_state& state) { return workers.first().may_take_over(state); });
    std::size_t next = 0;
    for (auto& each : all)
        workers[next++ % workers.size()].take_over(each.state, std::move(each.sockets));
}

} // namespace muxsocks::server
