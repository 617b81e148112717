#include "server/session_registry.hpp"

namespace muxsocks::server {

void session_registry::insert(const session_id& id, worker& owner, std::string user) {
    const std::lock_guard lock(mutex_);
    sessions_.insert_or_assign(id, entry{&owner, std::move(user), {}, 0});
}

void session_registry::erase(const session_id& id) {
    const std::lock_guard lock(mutex_);
    sessions_.erase(id);
}

worker& session_registry::find(const session_id& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? *workers_[id[0] % workers_.size()] : *found->second.owner;
}

std::optional<session_registry::victim> session_registry::on_detached(const session_id& id,
                                                                      std::size_t bytes_held) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return {};
    found->second.detached = std::chrono::steady_clock::now();
    found->second.bytes_held = bytes_held;
    std::size_t all = 0;
    std::size_t of_user = 0;
    auto oldest = sessions_.end();
    auto oldest_of_user = sessions_.end();
    for (auto each = sessions_.begin(); each != sessions_.end(); ++each) {
        if (!each->second.detached) continue;
        ++all;
        const auto older = [&](const auto& than) {
            return than == sessions_.end() || *each->second.detached < *than->second.detached;
        };
        if (older(oldest)) oldest = each;
        if (each->second.user != found->second.user) continue;
        ++of_user;
        if (older(oldest_of_user)) oldest_of_user = each;
    }
    auto gone = sessions_.end();
    if (of_user > settings_.sessions_per_user)
        gone = oldest_of_user;
    else if (all > settings_.sessions)
        gone = oldest;
    if (gone == sessions_.end()) return {};
    const victim chosen{gone->first, gone->second.owner};
    sessions_.erase(gone);
    return chosen;
}

std::optional<session_registry::victim> session_registry::give_up_oldest() {
    const std::lock_guard lock(mutex_);
    auto oldest = sessions_.end();
    for (auto each = sessions_.begin(); each != sessions_.end(); ++each) {
        if (!each->second.detached || each->second.bytes_held == 0) continue;
        if (oldest == sessions_.end() || *each->second.detached < *oldest->second.detached)
            oldest = each;
    }
    if (oldest == sessions_.end()) return {};
    const victim chosen{oldest->first, oldest->second.owner};
    sessions_.erase(oldest);
    return chosen;
}

std::size_t session_registry::size() const {
    const std::lock_guard lock(mutex_);
    return sessions_.size();
}

void session_registry::set(const resume_settings& settings) {
    const std::lock_guard lock(mutex_);
    settings_ = settings;
}

} // namespace muxsocks::server
