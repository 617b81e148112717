#include "server/session_registry.hpp"

#include <algorithm>
#include <cstring>

namespace muxsocks::server {

std::size_t session_id_hash::operator()(const session_id& id) const noexcept {
    std::size_t hash = 0;
    static_assert(sizeof hash <= std::tuple_size_v<session_id>);
    std::memcpy(&hash, id.data(), sizeof hash);
    return hash;
}

void session_registry::insert(const session_id& id, worker& owner, const user_account_ptr& user) {
    const std::lock_guard lock(mutex_);
    const auto of = users_.try_emplace(user.get()).first;
    of->second.account = user;
    ++of->second.attached; // Before what might be its last one is taken out.
    auto& one = sessions_[id];
    if (one.user) unlink(one);
    one.id = id;
    one.owner = &owner;
    one.user = &*of;
}

/// Takes the session out of its user's, who may be gone then.
void session_registry::unlink(entry& one) {
    auto& of = one.user->second;
    if (one.detached) {
        detached_.erase(one.among_all);
        of.detached.erase(one.among_users);
        of.bytes_held -= one.bytes_held;
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

std::vector<session_registry::victim> session_registry::on_detached(const session_id& id,
                                                                    std::size_t bytes_held) {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    if (found == sessions_.end() || found->second.detached) return {};
    auto& one = found->second;
    auto& of = one.user->second;
    const auto account = of.account; // It may go with the last of its sessions.
    --of.attached;
    one.detached = true;
    one.bytes_held = bytes_held;
    one.among_all = detached_.insert(detached_.end(), &one);
    one.among_users = of.detached.insert(of.detached.end(), &one);
    of.bytes_held += bytes_held;
    std::vector<victim> gone;
    const auto too_many = [&](const user_sessions& its) {
        return its.detached.size() > account->most(user_place::session) ||
               (its.bytes_held > account->detached_memory_max() && its.detached.size() > 1);
    };
    for (auto its = users_.find(account.get()); its != users_.end() && too_many(its->second);
         its = users_.find(account.get()))
        gone.push_back(take(*its->second.detached.front()));
    if (detached_.size() > settings_.sessions) gone.push_back(take(*detached_.front()));
    return gone;
}

std::optional<session_registry::victim> session_registry::give_up_one() {
    const std::lock_guard lock(mutex_);
    if (detached_.empty()) return {};
    auto last = detached_.begin();
    std::advance(last, std::min(candidates_max, detached_.size()));
    const auto holds = [](const entry* one) {
        return std::pair(one->user->second.account->memory().used(), one->bytes_held);
    };
    return take(**std::max_element(detached_.begin(), last, [&](const entry* a, const entry* b) {
        return holds(a) < holds(b);
    }));
}

std::optional<session_registry::victim> session_registry::give_up_one_of(const user_account& user) {
    const std::lock_guard lock(mutex_);
    const auto its = users_.find(&user);
    if (its == users_.end() || its->second.detached.empty()) return {};
    return take(*its->second.detached.front());
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
