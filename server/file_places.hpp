#pragma once

/// \file
/// The open files that sockets to targets may be: of the process's an eighth is kept for links, and
/// another for users who have few. So nobody who opens streams without end keeps others from
/// coming in, or from the few that they need. Any thread; touched when a dial begins and a socket
/// is closed.

#include "server/user_account.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>

namespace muxsocks::server {

class file_places {
  public:
    enum class answer : unsigned char { taken, user_has_too_many, process_has_too_many };

    /// `limit` is RLIMIT_NOFILE.
    explicit file_places(std::size_t limit)
        : few_(std::max<std::size_t>(limit / 64, 8)),
          for_those_with_few_(limit - limit / 8 - std::min(others, limit / 8)),
          for_all_(for_those_with_few_ - limit / 8) {}

    answer take(user_account& user) {
        if (!user.take(user_place::file)) return answer::user_has_too_many;
        const bool has_few = user.held(user_place::file) <= few_;
        const auto most = has_few ? for_those_with_few_ : for_all_;
        if (held_.fetch_add(1, std::memory_order_relaxed) < most) return answer::taken;
        give(user);
        return answer::process_has_too_many;
    }
    /// For a socket that is there already.
    void take_anyway(user_account& user) {
        user.take_anyway(user_place::file);
        held_.fetch_add(1, std::memory_order_relaxed);
    }
    void give(user_account& user) {
        held_.fetch_sub(1, std::memory_order_relaxed);
        user.give(user_place::file);
    }

    [[nodiscard]] std::size_t held() const { return held_.load(std::memory_order_relaxed); }
    /// How many a user may have of those that are kept for users with few.
    [[nodiscard]] std::size_t few() const { return few_; }
    [[nodiscard]] std::size_t most_of_those_with_few() const { return for_those_with_few_; }
    [[nodiscard]] std::size_t most() const { return for_all_; }

  private:
    /// Log, listeners, event loops, name resolution, links under way.
    static constexpr std::size_t others = 128;

    std::size_t few_;
    std::size_t for_those_with_few_;
    std::size_t for_all_;
    std::atomic<std::size_t> held_{0};
};

/// One file of a user's, given back when this goes.
class held_file {
  public:
    held_file() = default;
    /// `taken` is counted already.
    held_file(file_places& from, user_account_ptr taken) : from_(&from), user_(std::move(taken)) {}
    held_file(held_file&& other) noexcept : from_(other.from_), user_(std::move(other.user_)) {}
    held_file& operator=(held_file&& other) noexcept {
        std::swap(from_, other.from_);
        std::swap(user_, other.user_);
        return *this;
    }
    ~held_file() {
        if (user_) from_->give(*user_);
    }

  private:
    file_places* from_ = nullptr;
    user_account_ptr user_;
};

} // namespace muxsocks::server
