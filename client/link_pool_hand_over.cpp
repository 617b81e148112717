// How the sessions of a pool go to another process, and come from one.

#include "client/link_pool.hpp"
#include "protocol/link/tls/session_crypto.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/values.hpp"

#include <algorithm>

namespace muxsocks::client {

bool link_pool::save(const giving_sessions::send& one) {
    saved_.clear();
    bool heard = true;
    for_each_supervisor([&](link_supervisor& each) {
        if (!heard || !each.may_be_saved()) return;
        std::vector<int> sockets;
        const auto state = encode(each.save(sockets), session_crypto());
        heard = one(handed_piece::session, state, sockets);
        saved_.push_back(&each);
    });
    return heard;
}

void link_pool::let_go(std::uint32_t& number, const std::set<std::uint32_t>& refused) {
    for (const auto each : std::exchange(saved_, {})) {
        if (refused.count(number++) != 0)
            log::warning("the session with {} is not taken over",
                         to_string(each->server().address));
        else
            each->on_handed_over();
    }
    // What is left here has a moment to end.
    draining_ = true;
    for (auto& each : slots_)
        each.supervisor->retire();
}

link_pool::slot* link_pool::free_slot(const handed_session& one) {
    const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const slot& each) {
        return !each.supervisor->driver() && to_string(each.server.address) == one.server;
    });
    return found == slots_.end() ? nullptr : &*found;
}

void link_pool::take_over(const session_state& from, const handed_session& one,
                          descriptor_list sockets, const resume_owner& resume) {
    const bool goes_on = !from.goaway_received && from.agreed.user == recipe_->settings.auth.user;
    if (const auto at = goes_on ? free_slot(one) : nullptr)
        return at->supervisor->take_over(from, one, std::move(sockets), resume);
    server_entry server;
    for (const auto& each : recipe_->settings.servers)
        if (to_string(each.address) == one.server) server = each;
    server.address = parse_host_port(one.server).value_or(server.address);
    auto& added = retiring_.emplace_back(make_supervisor(server));
    added->take_over(from, one, std::move(sockets), resume);
    added->retire();
}

void link_pool::give_back() {
    for_each_supervisor([](link_supervisor& each) { each.on_handed_over(); });
}

} // namespace muxsocks::client
