#include "server/session_registry.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace muxsocks::server {

std::size_t session_id_hash::operator()(const session_id& id) const noexcept {
    std::size_t hash = 0;
    static_assert(sizeof hash <= std::tuple_size_v<session_id>);
    std::memcpy(&hash, id.data(), sizeof hash);
    return hash;
}

bool session_registry::insert(const session_id& id, worker& owner, const std::string& user) {
    const std::lock_guard lock(mutex_);
    const auto of = users_.try_emplace(user).first;
    ++of->second.attached; // Before what might be its last one is taken out.
    auto& one = sessions_[id];
    if (one.user) unlink(one);
    one.id = id;
    one.owner = &owner;
    one.user = &*of;
    return of->second.attached > settings_.sessions_per_user &&
           !std::exchange(of->second.told, true);
}

/// Takes the session out of its user's, who may be gone then.
void session_registry::unlink(entry& one) {
    auto& of = one.user->second;
    if (one.detached) {
        detached_.erase(one.among_all);
        of.detached.erase(one.among_users);
    } else {
        --of.attached;
    }
    one.detached = false;
    if (of.attached == 0 && of.detached.empty()) users_.erase(one.user->first);
    one.user = nullptr;
}

void session_registry::erase(const session_id& id) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) return;
    unlink(found->second);
    sessions_.erase(found);
}

worker& session_registry::find(const session_id& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? *workers_[id[0] % workers_.size()] : *found->second.owner;
}

session_registry::victim session_registry::take(entry& one) {
    const victim chosen{one.id, one.owner};
    unlink(one);
    sessions_.erase(chosen.id);
    return chosen;
}

std::optional<session_registry::victim> session_registry::on_detached(const session_id& id,
                                                                      std::size_t bytes_held) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end() || found->second.detached) return {};
    auto& one = found->second;
    auto& of = one.user->second;
    --of.attached;
    one.detached = true;
    one.bytes_held = bytes_held;
    one.among_all = detached_.insert(detached_.end(), &one);
    one.among_users = of.detached.insert(of.detached.end(), &one);
    if (of.detached.size() > settings_.sessions_per_user) return take(*of.detached.front());
    if (detached_.size() > settings_.sessions) return take(*detached_.front());
    return {};
}

std::optional<session_registry::victim> session_registry::give_up_one() {
    const std::lock_guard lock(mutex_);
    if (detached_.empty()) return {};
    auto last = detached_.begin();
    std::advance(last, std::min(candidates_max, detached_.size()));
    return take(**std::max_element(detached_.begin(), last, [](const entry* a, const entry* b) {
        return a->bytes_held < b->bytes_held;
    }));
}

std::size_t session_registry::size() const {
    const std::lock_guard lock(mutex_);
    return sessions_.size();
}

std::uint32_t session_registry::sessions_per_user() const {
    const std::lock_guard lock(mutex_);
    return settings_.sessions_per_user;
}

void session_registry::set(const resume_settings& settings) {
    const std::lock_guard lock(mutex_);
    settings_ = settings;
    for (auto& [name, of] : users_)
        of.told = false;
}

} // namespace muxsocks::server
