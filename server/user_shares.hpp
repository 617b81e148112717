#pragma once

/// \file
/// The shares of a thread's time: one for each user who has a session in the thread, and one for
/// all links of which it is not known yet whose they are.

#include "protocol/link/link_thread.hpp"
#include "server/user_account.hpp"

#include <unordered_map>
#include <utility>

namespace muxsocks::server {

class user_shares {
  public:
    /// A session's part in its user's share, until this goes; the shares outlive it.
    class held {
      public:
        held() = default;
        held(held&& other) noexcept : of_(std::exchange(other.of_, nullptr)), user_(other.user_) {}
        held& operator=(held&& other) noexcept {
            std::swap(of_, other.of_);
            std::swap(user_, other.user_);
            return *this;
        }
        ~held() {
            if (of_) of_->give(user_);
        }
        /// Not of an empty one.
        [[nodiscard]] const share_ptr& share() const { return of_->users_.at(user_).share; }

      private:
        friend class user_shares;
        held(user_shares& of, const user_account& user) : of_(&of), user_(&user) {}

        user_shares* of_ = nullptr;
        const user_account* user_ = nullptr; ///< Only as a key.
    };

    explicit user_shares(link_thread& thread) : thread_(thread), strangers_(thread.make_share()) {}

    [[nodiscard]] const share_ptr& strangers() const { return strangers_; }
    /// For one more session of the user.
    [[nodiscard]] held take(const user_account& user) {
        auto& found = users_[&user];
        if (found.sessions++ == 0) found.share = thread_.make_share();
        return held(*this, user);
    }

  private:
    void give(const user_account* user) {
        const auto found = users_.find(user);
        if (--found->second.sessions == 0) users_.erase(found);
    }

    struct one {
        share_ptr share;
        std::size_t sessions = 0;
    };

    link_thread& thread_;
    share_ptr strangers_;
    std::unordered_map<const user_account*, one> users_;
};

} // namespace muxsocks::server
