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
#include "server/user_limits.hpp"

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace muxsocks::server {

class user_account;

/// What a link takes besides what its session is charged for: itself with TLS, measured 3 KiB, and
/// a record that has not come whole.
constexpr std::size_t link_bytes = 20 * 1024;
/// The same while TLS shakes hands, measured 44 KiB.
constexpr std::size_t new_link_bytes = 48 * 1024;

/// What all users share (`memory.total`), and how many of them hold more of it than idle links.
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

    /// Who holds no more has some links and does nothing: others need not share with it.
    static constexpr std::size_t shares_from = 128 * 1024;

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

    std::string name_;
    std::array<counter, 5> counters_;
    std::atomic<std::size_t> dials_max_{0};
    std::atomic<std::size_t> lookups_max_{0};
    std::atomic<std::size_t> detached_memory_max_{0};
    user_memory memory_;
};

using user_account_ptr = std::shared_ptr<user_account>;

/// Memory that is there whatever the bounds are, charged until this goes. Over a bound others, and
/// the user's own sessions, are asked for what they can do without.
class held_memory {
  public:
    held_memory() = default;
    /// `of` outlives it.
    held_memory(memory_budget& of, std::size_t bytes);
    held_memory(const user_account_ptr& user, std::size_t bytes)
        : held_memory(user->memory(), bytes) {
        kept_ = user;
    }
    held_memory(held_memory&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)),
          kept_(std::move(other.kept_)) {}
    held_memory& operator=(held_memory&& other) noexcept {
        std::swap(of_, other.of_);
        std::swap(bytes_, other.bytes_);
        std::swap(kept_, other.kept_);
        return *this;
    }
    ~held_memory() {
        if (of_) of_->give(bytes_);
    }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

  private:
    memory_budget* of_ = nullptr;
    std::size_t bytes_ = 0;
    user_account_ptr kept_;
};

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
