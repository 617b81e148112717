#pragma once

/// \file
/// What one user holds, over all of its sessions in all threads, and how much it may (user_limits).
/// Sessions and streams hold their user's account, which goes with the last of them. Any thread may
/// call anything here; the counters are atomic, and touched when something begins or ends.
///
/// A user is who has authenticated by a name, or by a certificate's subject; where everyone may
/// come in, an address (IPv6: a /64).

#include "protocol/memory_account.hpp"
#include "server/fair_memory.hpp"
#include "server/shared_rate.hpp"
#include "server/usage_book.hpp"
#include "server/user_addresses.hpp"
#include "server/user_limits.hpp"
#include "server/user_terms.hpp"

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace muxsocks::server {

class user_account;

/// What all users share (`memory.total`), and how many of them hold some of it.
class shared_memory : public memory_budget {
  public:
    using memory_budget::memory_budget;

    [[nodiscard]] fair_memory now() const {
        return {limit(), used(), sharers_.load(std::memory_order_relaxed)};
    }
    /// `relief` says whether what the user itself can do without is being given back. Any thread
    /// calls it; set it before there are users.
    void on_user_full(std::function<bool(user_account&)> relief) { relief_ = std::move(relief); }

  private:
    friend class user_memory;

    std::function<bool(user_account&)> relief_;
    std::atomic<std::size_t> sharers_{0};
};

/// One user's part of it, for the accounts of its sessions.
class user_memory final : public memory_budget {
  public:
    user_memory(user_account& of, std::size_t limit, shared_memory& all)
        : memory_budget(limit), of_(of), all_(all) {}

    bool take(std::size_t bytes) override;
    void take_anyway(std::size_t bytes) override;
    void give(std::size_t bytes) override;
    bool relieve(std::size_t bytes) override;

  private:
    void add_here(std::size_t bytes);
    void subtract_here(std::size_t bytes);

    user_account& of_;
    shared_memory& all_;
};

/// What is counted one by one.
enum class user_place : unsigned char { session, link, stream, file, association };

class user_account {
  public:
    user_account(std::string name, const user_limit_settings& limits, shared_memory& memory);
    user_account(const user_account&) = delete;
    user_account& operator=(const user_account&) = delete;

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    /// What is there stays, though it may be more than the new limits.
    void set(const user_limit_settings& limits);
    void set(const user_terms& terms);
    /// How it stands with its quota now: it may be slowed down for that.
    void set(const quota_standing& standing);

    /// Whether there was a place for one more.
    bool take(user_place of);
    [[nodiscard]] bool has_place(user_place of) const { return held(of) < most(of); }
    void take_anyway(user_place of) { counter_of(of).held.fetch_add(1, order); }
    void give(user_place of) { counter_of(of).held.fetch_sub(1, order); }
    [[nodiscard]] std::size_t held(user_place of) const { return counter_of(of).held.load(order); }
    [[nodiscard]] std::size_t most(user_place of) const { return counter_of(of).most.load(order); }

    [[nodiscard]] std::size_t dials_max() const { return dials_max_.load(order); }
    [[nodiscard]] std::size_t lookups_max() const { return lookups_max_.load(order); }
    [[nodiscard]] std::size_t detached_memory_max() const {
        return detached_memory_max_.load(order);
    }
    [[nodiscard]] user_memory& memory() noexcept { return memory_; }

    /// Whether its terms depend on the time, or on what it moves.
    [[nodiscard]] bool is_watched() const { return watched_.load(order); }
    /// Whether its quota is used up, and until when then; 1970: for good.
    [[nodiscard]] bool quota_used_up() const { return quota_used_up_.load(order); }
    [[nodiscard]] wall_time quota_until() const {
        return wall_time(std::chrono::seconds(quota_until_.load(order)));
    }
    [[nodiscard]] bool may_use_udp() const { return udp_.load(order); }
    [[nodiscard]] std::size_t addresses_max() const { return addresses_max_.load(order); }
    [[nodiscard]] user_addresses& addresses() noexcept { return addresses_; }
    [[nodiscard]] const user_addresses& addresses() const noexcept { return addresses_; }
    [[nodiscard]] shared_rate& rate_up() noexcept { return rate_up_; }
    [[nodiscard]] shared_rate& rate_down() noexcept { return rate_down_; }

  private:
    static constexpr auto order = std::memory_order_relaxed;
    struct counter {
        std::atomic<std::size_t> held{0};
        std::atomic<std::size_t> most{0};
    };
    counter& counter_of(user_place of) { return counters_[static_cast<std::size_t>(of)]; }
    [[nodiscard]] const counter& counter_of(user_place of) const {
        return counters_[static_cast<std::size_t>(of)];
    }

    /// In bytes a second.
    struct rates {
        std::atomic<std::uint64_t> up{0};
        std::atomic<std::uint64_t> down{0};
        void set(const user_rate& bits) {
            up.store(bits.up / 8, order);
            down.store(bits.down / 8, order);
        }
    };
    void set_rates();

    std::string name_;
    std::array<counter, 5> counters_;
    std::atomic<std::size_t> dials_max_{0};
    std::atomic<std::size_t> lookups_max_{0};
    std::atomic<std::size_t> detached_memory_max_{0};
    std::atomic<bool> watched_{false};
    std::atomic<bool> udp_{true};
    std::atomic<std::size_t> addresses_max_{0};
    user_addresses addresses_;
    std::atomic<bool> quota_used_up_{false};
    std::atomic<std::int64_t> quota_until_{0};
    rates usual_;
    rates slow_; ///< While its quota is used up.
    shared_rate rate_up_;
    shared_rate rate_down_;
    user_memory memory_;
};

using user_account_ptr = std::shared_ptr<user_account>;

/// One place of a user's, given back when this goes.
class held_place {
  public:
    held_place() = default;
    /// `taken` is counted already.
    held_place(user_account_ptr taken, user_place of) : user_(std::move(taken)), of_(of) {}
    /// Empty if there was no place.
    static held_place take(const user_account_ptr& user, user_place of) {
        return user->take(of) ? held_place(user, of) : held_place();
    }
    held_place(held_place&& other) noexcept : user_(std::move(other.user_)), of_(other.of_) {}
    held_place& operator=(held_place&& other) noexcept {
        std::swap(user_, other.user_);
        std::swap(of_, other.of_);
        return *this;
    }
    ~held_place() {
        if (user_) user_->give(of_);
    }
    explicit operator bool() const { return user_ != nullptr; }

  private:
    user_account_ptr user_;
    user_place of_ = user_place::session;
};

} // namespace muxsocks::server
