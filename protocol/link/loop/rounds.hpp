#pragma once

/// \file
/// Who may be busy for how long before others have their turn. In each *round* those who share (a
/// user's sessions in this thread with the sockets of their streams, or all links of which it is
/// not known whose they are) may be busy for a quarter of a millisecond, or for less where several
/// have more to do than that, but for one piece of work in any case. What is due beyond it is done
/// in the next round, in its order. That one is asked for when somebody has used up a share, and
/// begins when the event loop has done all that was due by then: while nobody is so busy, the loop
/// has nothing to do for it.
///
/// What waits of thousands (whose links were all lost at once, say) is more than a round has time
/// for: those who are not reached are the first ones in the next. So the event loop is never away
/// for longer than a round, and who has little to do meanwhile finds a share that is whole. What
/// nobody waits for is done behind that, for a quarter of a millisecond at a time.
///
/// A share is looked at before a piece of work, and a piece that has begun is not interrupted: so
/// pieces are to be small.

#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/ref_counted.hpp"
#include "protocol/link/loop/unique_function.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <utility>

namespace muxsocks {

class rounds;

class round_share : public ref_counted<round_share> {
  public:
    using clock = std::chrono::steady_clock;

    /// `of` outlives what uses the share.
    explicit round_share(rounds& of) : of_(of) {}

    /// Whether a piece of work may begin now: there is time left, and nothing waits in front of it.
    [[nodiscard]] bool may_begin();
    /// What is left of this round; 0 or less: nothing.
    [[nodiscard]] clock::duration left();
    /// In the next round, or in one after it, when all that waits already is done.
    void later(unique_function<void()> work);
    /// Behind what waits of everybody, when its turn has come: nobody waits for it.
    void behind(unique_function<void()> work);
    /// Now, or later.
    template <typename Work>
    void run(Work work) {
        if (!may_begin()) return later(std::move(work));
        const use now(*this);
        work();
    }

    /// Counts the time until it goes as used. Within another one it counts nothing.
    class use {
      public:
        explicit use(round_share& of);
        use(const use&) = delete;
        use& operator=(const use&) = delete;
        ~use();

      private:
        boost::intrusive_ptr<round_share> of_;
    };

  private:
    friend class rounds;

    void come_to_round();
    void do_what_waits();

    rounds& of_;
    std::uint64_t round_ = 0;
    clock::duration used_{};    ///< Of that round.
    clock::time_point since_{}; ///< What is being done began; only while something is.
    std::deque<unique_function<void()>> waiting_;
    bool in_use_ = false;
    bool doing_ = false; ///< Whether what waits is being done.
};

using share_ptr = boost::intrusive_ptr<round_share>;

/// The rounds of one thread's event loop.
class rounds {
  public:
    using time_source = round_share::clock::time_point (*)();
    explicit rounds(asio::io_context& context, time_source now = &round_share::clock::now)
        : context_(context), now_(now) {}
    rounds(const rounds&) = delete;
    rounds& operator=(const rounds&) = delete;
    /// What waits is given up.
    ~rounds();

    static constexpr std::chrono::microseconds length{250};
    /// For all that waits together, but for the last piece of it.
    static constexpr std::chrono::microseconds length_max{1000};
    /// However many have more to do.
    static constexpr std::chrono::microseconds share_min{4};

  private:
    friend class round_share;

    [[nodiscard]] round_share::clock::duration share() const {
        using time = round_share::clock::duration;
        return std::max<time>(time(length) / sharing_, share_min);
    }
    void do_what_is_behind();
    /// There is to be another round.
    void go_on();
    void on_round();

    asio::io_context& context_;
    time_source now_;
    std::uint64_t round_ = 1;
    struct late_work {
        share_ptr of;
        unique_function<void()> work;
    };

    std::deque<share_ptr> waiting_; ///< Shares with something that waits, in turn.
    std::deque<late_work> behind_;
    std::size_t sharing_ = 1; ///< How many had something left when this round began.
    bool posted_ = false;
};

} // namespace muxsocks
