#pragma once

/// \file
/// Which user was told of which range of destinations that the rules refuse: the log has a line for
/// the first time, so that a server that refuses a home network's addresses does not look dead, and
/// no more, so that it does not say where its users go. Any thread may ask.

#include <cstddef>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace muxsocks::server {

class told_refusals {
  public:
    /// Of more pairs of user and range nothing is said.
    static constexpr std::size_t remembered_max = 10'000;

    /// Whether it is the first time for this user and range.
    bool first(std::string_view user, std::string_view range) {
        const std::lock_guard lock(mutex_);
        if (told_.size() >= remembered_max) return false;
        return told_.emplace(user, range).second;
    }

    /// The rules are others now.
    void forget() {
        const std::lock_guard lock(mutex_);
        told_.clear();
    }

  private:
    std::mutex mutex_;
    std::set<std::pair<std::string, std::string>> told_;
};

} // namespace muxsocks::server
