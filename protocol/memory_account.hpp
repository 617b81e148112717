#pragma once

/// \file
/// What a session holds in memory, against its own bound and that of the process, or of a part of
/// the process's that it shares with other sessions. Such counters are shared by all threads, so a
/// session takes from them in slabs, not byte by byte.

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

namespace muxsocks {

/// The bound of the whole process (`memory.total`), or of a part of it. Any thread.
class memory_budget {
  public:
    explicit memory_budget(std::size_t limit) : limit_(limit) {}
    memory_budget(const memory_budget&) = delete;
    memory_budget& operator=(const memory_budget&) = delete;
    virtual ~memory_budget() = default;

    virtual bool take(std::size_t bytes) {
        if (add(bytes) + bytes <= limit()) return true;
        subtract(bytes);
        return false;
    }
    virtual void take_anyway(std::size_t bytes) { add(bytes); }
    virtual void give(std::size_t bytes) { subtract(bytes); }
    std::size_t used() const { return used_.load(std::memory_order_relaxed); }
    std::size_t limit() const { return limit_.load(std::memory_order_relaxed); }
    void set_limit(std::size_t limit) { limit_.store(limit, std::memory_order_relaxed); }

    /// `relief` says whether memory that somebody else can do without is being given back, so that
    /// the bound may be passed until it is, by an eighth and `overshoot` at most. Any thread calls
    /// it; set it before there are accounts.
    void on_full(std::function<bool()> relief) { relief_ = std::move(relief); }
    /// Asks for relief; whether `bytes` may be taken meanwhile.
    virtual bool relieve(std::size_t bytes) {
        return relief_ && relief_() && used() + bytes <= limit() + limit() / 8 + overshoot;
    }

    /// Twice what one link receives at a time.
    static constexpr std::size_t overshoot = 512 * 1024;

  protected:
    /// Return what was used before.
    std::size_t add(std::size_t bytes) { return used_.fetch_add(bytes, std::memory_order_relaxed); }
    std::size_t subtract(std::size_t bytes) {
        return used_.fetch_sub(bytes, std::memory_order_relaxed);
    }

  private:
    std::function<bool()> relief_;
    std::atomic<std::size_t> limit_;
    std::atomic<std::size_t> used_{0};
};

/// One session's share.
class memory_account {
  public:
    /// `limit` is `memory.session`; `budget` may be null (no bound of the process), and outlives
    /// the account.
    memory_account(std::size_t limit, memory_budget* budget)
        : limit_(limit),
          slab_(limit / 64 < slab_max ? limit / 64 + 1 : slab_max),
          budget_(budget) {}
    memory_account(const memory_account&) = delete;
    memory_account& operator=(const memory_account&) = delete;
    ~memory_account() {
        if (budget_) budget_->give(reserved_);
    }

    /// Whether the bytes fit; if not, nothing is charged.
    bool charge(std::size_t bytes);
    /// The same for bytes that must be dropped if they do not fit: where it is the process that has
    /// no room the budget's relief is asked first.
    bool charge_or_relieve(std::size_t bytes);
    /// Charges without a bound, for what is held already or cannot be refused.
    void charge_anyway(std::size_t bytes);
    void discharge(std::size_t bytes);
    std::size_t charged() const { return charged_; }
    /// What is held by all who share the part of the process's budget that pays; 0 where it is all.
    std::size_t owner_holds() const { return kept_ ? kept_->used() : 0; }
    /// From here on it is `to` that pays, for what is held already, too.
    void move_to(std::shared_ptr<memory_budget> to);

  private:
    static constexpr std::size_t slab_max = 256 * 1024;

    std::size_t limit_;
    std::size_t slab_;
    memory_budget* budget_;
    std::shared_ptr<memory_budget> kept_; ///< The budget, if it is not the process's.
    std::size_t charged_ = 0;
    std::size_t reserved_ = 0; ///< Taken from the budget: charged, rounded up to slabs.
};

} // namespace muxsocks
