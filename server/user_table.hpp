#pragma once

/// \file
/// The accounts of the users who have something here, by name. Shared by all threads, under a lock
/// that is taken when a session begins and at a reload.

#include "server/user_account.hpp"

#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace muxsocks::server {

class user_table {
  public:
    /// `memory` outlives every account.
    explicit user_table(shared_memory& memory) : memory_(memory) {}

    /// The account of this user, which is made with `limits` if it is not there.
    user_account_ptr find(const std::string& name, const user_limit_settings& limits);
    /// Those of users who have something now.
    [[nodiscard]] std::vector<user_account_ptr> all() const;

  private:
    void forget_those_gone();

    shared_memory& memory_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::weak_ptr<user_account>> accounts_;
    std::size_t look_at_size_ = 64; ///< At which it looks for users who are gone.
};

} // namespace muxsocks::server
