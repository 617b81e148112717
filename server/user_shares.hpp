#pragma once

/// \file
/// The shares of a thread's time: one for each user who has a session in the thread, and one for
/// all links of which it is not known yet whose they are.

#include "protocol/link/link_thread.hpp"
#include "server/user_account.hpp"

#include <unordered_map>

namespace muxsocks::server {

class user_shares {
  public:
    explicit user_shares(link_thread& thread) : thread_(thread), strangers_(thread.make_share()) {}

    [[nodiscard]] const share_ptr& strangers() const { return strangers_; }
    /// For one more session of the user; to be followed by one give().
    share_ptr take(const user_account& user) {
        auto& found = users_[&user];
        if (found.sessions++ == 0) found.share = thread_.make_share();
        return found.share;
    }
    void give(const user_account& user) {
        const auto found = users_.find(&user);
        if (--found->second.sessions == 0) users_.erase(found);
    }

  private:
    struct one {
        share_ptr share;
        std::size_t sessions = 0;
    };

    link_thread& thread_;
    share_ptr strangers_;
    std::unordered_map<const user_account*, one> users_;
};

} // namespace muxsocks::server
