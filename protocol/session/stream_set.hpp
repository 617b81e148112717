#pragma once

/// \file
/// The streams of a session: made, found by their ids, and deleted when nothing can name them any
/// more.

#include "protocol/session/stream_table.hpp"

#include <memory>

namespace muxsocks {

class stream_set {
  public:
    stream_set() = default;
    stream_set(const stream_set&) = delete;
    stream_set& operator=(const stream_set&) = delete;
    ~stream_set() {
        while (first_) {
            const std::unique_ptr<stream> gone(first_);
            first_ = gone->all_next;
        }
    }

    stream& make(std::uint64_t send_limit, const receive_window& window, instant now) {
        auto made = std::make_unique<stream>(send_limit, window);
        made->moved = now;
        made->all_next = first_;
        if (first_) first_->all_previous = made.get();
        first_ = made.release();
        return *first_;
    }
    /// Those that are open and have their id.
    stream_table table;

    /// Every stream there is, the closed ones too. `function(stream&)` may close them.
    template <typename Function>
    void for_each(Function function) const {
        for (auto s = first_; s; s = s->all_next)
            function(*s);
    }
    /// Closed and released: it is deleted with the next sweep().
    void bury(stream& s) {
        s.dead = true;
        dead_.push_back(&s);
    }
    bool has_dead() const { return !dead_.empty(); }
    /// No list, view or event names a dead stream any more.
    void sweep() {
        for (const auto s : dead_) {
            const std::unique_ptr<stream> gone(s);
            (s->all_previous ? s->all_previous->all_next : first_) = s->all_next;
            if (s->all_next) s->all_next->all_previous = s->all_previous;
        }
        dead_.clear();
    }

  private:
    stream* first_ = nullptr; ///< Through stream::all_next.
    std::vector<stream*> dead_;
};

} // namespace muxsocks
