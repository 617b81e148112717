#include "server/user_table.hpp"

#include <algorithm>

namespace muxsocks::server {

user_account_ptr user_table::find(const std::string& name, const user_limit_settings& limits) {
    const std::lock_guard lock(mutex_);
    auto& known = accounts_[name];
    if (auto found = known.lock()) return found;
    auto made = std::make_shared<user_account>(name, limits, memory_);
    known = made;
    if (accounts_.size() >= look_at_size_) forget_those_gone();
    return made;
}

void user_table::forget_those_gone() {
    std::erase_if(accounts_, [](const auto& each) { return each.second.expired(); });
    look_at_size_ = std::max<std::size_t>(64, 2 * accounts_.size());
}

std::vector<user_account_ptr> user_table::all() const {
    const std::lock_guard lock(mutex_);
    std::vector<user_account_ptr> found;
    for (const auto& [name, known] : accounts_)
        if (auto account = known.lock()) found.push_back(std::move(account));
    return found;
}

} // namespace muxsocks::server
