#pragma once

/// \file
/// How many dials may be under way at once, in all threads of a server together. A dialer that
/// finds no place waits in line, one place at a time, and is told from whichever thread a place
/// becomes free. One lock, taken when a dial begins and ends.

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace muxsocks::server {

class dial_places {
  public:
    explicit dial_places(std::size_t count) : count_(count) {}

    /// A dialer, in its line.
    struct waiter {
        /// A place is now the waiter's. Any thread calls it, under the lock.
        std::function<void()> on_place;
        bool in_line = false;
    };

    /// Whether there was a place; if not, the waiter is in the line from here on.
    bool take_or_wait(waiter& who);
    /// Gives a place back. Whether it is the turn of `who` itself, which then has it.
    bool give(waiter* who = nullptr);
    void leave_line(waiter& who);

  private:
    std::mutex mutex_;
    std::size_t count_;
    std::size_t taken_ = 0;
    std::deque<waiter*> line_; ///< Empty while there are places.
};

} // namespace muxsocks::server
