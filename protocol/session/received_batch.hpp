#pragma once

/// \file
/// What one batch of received bytes has brought: views of streams' bytes into the memory that it
/// lies in, and events in their order. At its end what was not consumed is copied.

#include "protocol/session/event.hpp"

#include <deque>

namespace muxsocks {

class received_batch {
  public:
    // ---- Bytes.

    /// Bytes of the stream that follow all that it had; they are there until the end.
    void add(stream& s, bytes_view bytes);
    /// The same for a piece that the batch keeps until then.
    void add_held(stream& s, pieces::bytes piece);
    /// The stream is looked at when the batch ends.
    void touch(stream& s) {
        if (s.touched) return;
        s.touched = true;
        touched_.push_back(&s);
    }
    /// Its owner is told that there is something to read, once a batch.
    void announce(stream& s);
    std::size_t peek(const stream& s, std::span<bytes_view> views) const;
    void consume(stream& s, std::size_t bytes);
    static void forget(stream& s) {
        s.view_bytes = 0;
        s.first_view = s.last_view = -1;
    }
    /// Copies what streams have not consumed, and calls `function(stream&)` for each touched one.
    template <typename Function>
    void end(instant now, Function function);

    // ---- Events.

    void emit(const event& added) { events_.push_back(added); }
    std::optional<event> next_event();
    /// Whether no view, list or event names a stream.
    bool idle() const { return touched_.empty() && events_taken_ == events_.size(); }

  private:
    struct node {
        bytes_view bytes;
        std::int32_t next;
    };
    node& at(std::int32_t index) { return views_[static_cast<std::size_t>(index)]; }
    const node& at(std::int32_t index) const { return views_[static_cast<std::size_t>(index)]; }

    std::vector<node> views_;
    std::deque<pieces::bytes> held_;
    std::vector<stream*> touched_;
    std::vector<event> events_;
    std::size_t events_taken_ = 0;
};

template <typename Function>
void received_batch::end(instant now, Function function) {
    for (std::size_t i = 0; i < touched_.size(); ++i) {
        auto& s = *touched_[i];
        s.touched = s.announced = false;
        if (s.view_bytes > 0) {
            // What has only now something to take has not stood still before.
            if (s.unread.empty()) s.moved = now;
            for (auto index = s.first_view; index >= 0; index = at(index).next)
                s.unread.append(at(index).bytes);
        }
        forget(s);
        function(s);
    }
    touched_.clear();
    views_.clear();
    held_.clear();
}

} // namespace muxsocks
