#pragma once

/// \file
/// Many deadlines on one timer. A socket's or a lookup's time-out is almost never reached, so
/// setting and dropping one must cost next to nothing: a `deadline` is a node in its owner, and
/// `deadlines` sorts the nodes and moves its one timer only when a new node is earlier than
/// whatever the timer waits for. In the usual case, all time-outs alike, neither setting nor
/// dropping a deadline makes a system call.
///
/// One thread: the io_context's.

#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/unique_function.hpp"

#include <boost/intrusive/set.hpp>

#include <chrono>
#include <memory>

namespace muxsocks {

class deadlines;

/// One deadline, set or not. Its destruction drops it.
class deadline : public boost::intrusive::set_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::link_mode_type::auto_unlink>> {
  public:
    using clock = std::chrono::steady_clock;

    /// `owner` must outlive every later expires_at and expires_after. `on_expiry` is called through
    /// the executor, at most once each time the deadline is set; it may set it again or destroy it.
    deadline(deadlines& owner, unique_function<void()> on_expiry)
        : owner_(owner), on_expiry_(std::move(on_expiry)) {}
    deadline(const deadline&) = delete;
    deadline& operator=(const deadline&) = delete;

    /// Sets the deadline, or moves it.
    void expires_at(clock::time_point when);
    void expires_after(clock::duration delay);
    /// The expiry will not be called. No effect if the deadline is not set.
    void cancel() noexcept;

    [[nodiscard]] bool is_set() const noexcept { return is_linked(); }
    /// When it expires; only while it is set.
    [[nodiscard]] clock::time_point expiry() const noexcept { return when_; }

    friend bool operator<(const deadline& a, const deadline& b) noexcept {
        return a.when_ < b.when_;
    }

  private:
    friend class deadlines;

    deadlines& owner_;
    clock::time_point when_{};
    unique_function<void()> on_expiry_;
};

/// The timer of all deadlines of one io_context. Once it waits it does so until the expiry that it
/// was set for, even if that deadline has been dropped: run() does not return before that time
/// unless the io_context is stopped or this object destroyed.
class deadlines {
  public:
    explicit deadlines(asio::io_context& context);
    ~deadlines();
    deadlines(const deadlines&) = delete;
    deadlines& operator=(const deadlines&) = delete;

  private:
    friend class deadline;
    using sorted =
        boost::intrusive::multiset<deadline, boost::intrusive::constant_time_size<false>>;

    void insert(deadline& one);
    /// Makes the timer expire at the first deadline, if it would be later.
    void wait_for_first();
    void on_timer();

    sorted sorted_;
    steady_timer timer_;
    /// What the timer waits for; max() when it does not wait.
    deadline::clock::time_point waits_for_ = deadline::clock::time_point::max();
    /// Gone with this object: a timer's handler may still be queued then.
    std::shared_ptr<deadlines*> alive_;
};

} // namespace muxsocks
