#include "protocol/session/kept_frames.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {

// ---- kept_memory

bool kept_memory::reserve() { return account_.charge(pool.chunk_size()); }

void kept_memory::forget(const chunk_ref& chunk) {
    if (!chunk.remove_keeper()) return;
    --chunks_;
    account_.discharge(pool.chunk_size());
}

// ---- kept_frames

bool kept_frames::has_room(std::size_t needed) const {
    if (!keep_ || runs_.empty()) return true;
    if (tail_has_room(needed)) return runs_.size() == 1 || held_ <= limit_;
    return held_ + chunk_size() <= limit_;
}

bool kept_frames::reserve() {
    if (memory_.reserve()) return true;
    // The first chunk is never refused: a link that cannot send at all would stand for ever.
    if (!runs_.empty()) return false;
    memory_.reserve_anyway();
    return true;
}

kept_frames::area kept_frames::open(bool want_kept, bool want_rst, std::size_t needed) {
    const auto size = chunk_size();
    if (!keep_) return {memory_.pool.take(), 0, size, true, false};
    const bool room = has_room(needed);
    const bool rst_only = !room && want_rst && has_rst_room();
    if (want_kept && (room || rst_only)) {
        if (tail_has_room(needed)) {
            const auto& tail = runs_.back().what;
            return {tail.chunk, tail.end, size, true, rst_only};
        }
        if (reserve()) return {memory_.pool.take(), 0, size, true, rst_only};
    }
    // A chunk of its own: the driver may hold an earlier turn of the tail while this one is laid.
    return {memory_.pool.take(), 0, size, false, false};
}

void kept_frames::close(const area& turn, std::size_t end, std::uint64_t frames) {
    sent_ += frames;
    if (!keep_) {
        acked_ = sent_;
        return;
    }
    if (!turn.kept) {
        assert(frames == 0);
        return;
    }
    const bool in_tail = !runs_.empty() && runs_.back().what.chunk == turn.chunk && tail_open_;
    if (turn.rst_only) rst_laid_ += end - turn.begin;
    if (in_tail) {
        // What was laid into the tail stays, kept or not: whole frames, which are walked over.
        runs_.back().what.end = end;
        runs_.back().what.frames += frames;
    } else if (frames == 0) {
        memory_.give_up_reserved();
    } else {
        memory_.keep_reserved(turn.chunk);
        add({turn.chunk, turn.begin, end, frames}, chunk_size());
        tail_open_ = true;
    }
}

void kept_frames::carry(const stretch& again) {
    sent_ += again.frames;
    if (!keep_) {
        acked_ = sent_;
        return;
    }
    memory_.keep(again.chunk);
    add(again, again.end - again.begin);
    tail_open_ = false;
}

void kept_frames::add(const stretch& what, std::size_t cost) {
    runs_.push_back({what, cost});
    held_ += cost;
}

void kept_frames::pop_front() {
    held_ -= runs_.front().cost;
    given_up_ += runs_.front().cost;
    memory_.forget(runs_.front().what.chunk);
    runs_.pop_front();
}

bool kept_frames::grow(instant now, duration rtt) {
    if (has_room() || limit_ >= limits_.max || now - grown_ < rtt) return false;
    if (given_up_ < limit_ / 2) return false;
    grown_ = now;
    given_up_ = 0;
    limit_ = std::min(limits_.max, limit_ * 2);
    return true;
}

void kept_frames::clear() {
    while (!runs_.empty())
        pop_front();
    acked_ = sent_;
    tail_open_ = false;
}

} // namespace muxsocks
