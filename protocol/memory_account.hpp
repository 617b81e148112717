#pragma once

/// \file
/// What a session holds in memory, against its own bound and that of the process. The process-wide
/// counter is shared by all threads, so a session takes from it in slabs, not byte by byte.

#include <atomic>
#include <cstddef>
#include <functional>
#include <utility>

namespace muxsocks {

/// The bound of the whole process (`memory.total`). Lives longer than every session.
class memory_budget {
  public:
    explicit memory_budget(std::size_t limit) : limit_(limit) {}

    bool take(std::size_t bytes) {
        if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit()) return true;
        give(bytes);
        return false;
    }
    void take_anyway(std::size_t bytes) { used_.fetch_add(bytes, std::memory_order_relaxed); }
    void give(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
    std::size_t used() const { return used_.load(std::memory_order_relaxed); }
    std::size_t limit() const { return limit_.load(std::memory_order_relaxed); }
    void set_limit(std::size_t limit) { limit_.store(limit, std::memory_order_relaxed); }

    /// `relief` says whether memory that somebody else can do without is being given back, so that
    /// the bound may be passed until it is, by an eighth and `overshoot` at most. Any thread calls
    /// it; set it before there are accounts.
    void on_full(std::function<bool()> relief) { relief_ = std::move(relief); }
    /// Asks for relief; whether `bytes` may be taken meanwhile.
    bool relieve(std::size_t bytes) const {
        return relief_ && relief_() && used() + bytes <= limit() + limit() / 8 + overshoot;
    }

    /// Twice what one link receives at a time.
    static constexpr std::size_t overshoot = 512 * 1024;

  private:
    std::function<bool()> relief_;
    std::atomic<std::size_t> limit_;
    std::atomic<std::size_t> used_{0};
};

/// One session's share.
class memory_account {
  public:
    /// `limit` is `memory.session`; `budget` may be null (no bound of the process).
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

  private:
    static constexpr std::size_t slab_max = 256 * 1024;

    std::size_t limit_;
    std::size_t slab_;
    memory_budget* budget_;
    std::size_t charged_ = 0;
    std::size_t reserved_ = 0; ///< Taken from the budget: charged, rounded up to slabs.
};

} // namespace muxsocks
