#include "protocol/replay_buffer.hpp"

#include "protocol/frame.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {

bool replay_buffer::has_room() const {
    if (!keep_ || runs_.empty()) return true;
    if (tail_has_room()) return !above_limit();
    return (runs_.size() + 1) * pool_.chunk_size() <= limit_;
}

bool replay_buffer::charge_chunk() {
    if (account_.charge(pool_.chunk_size())) return true;
    // The first chunk is never refused: a session that cannot send at all would stand for ever.
    if (!runs_.empty()) return false;
    account_.charge_anyway(pool_.chunk_size());
    return true;
}

replay_buffer::area replay_buffer::open(bool want_counted, bool want_rst) {
    const auto size = pool_.chunk_size();
    if (!keep_) return {pool_.take(), 0, size, true, false};
    const bool room = has_room();
    const bool rst_only = !room && want_rst && has_rst_room();
    if (want_counted && (room || rst_only)) {
        if (tail_has_room()) return {runs_.back().chunk, runs_.back().end, size, true, rst_only};
        if (charge_chunk()) return {pool_.take(), 0, size, true, rst_only};
    }
    // A chunk of its own: the driver may hold an earlier turn of the tail while this one is laid.
    return {pool_.take(), 0, size, false, false};
}

void replay_buffer::close(const area& turn, std::size_t end, std::uint64_t counted) {
    const bool in_tail = !runs_.empty() && runs_.back().chunk == turn.chunk;
    sent_ += counted;
    if (!keep_) {
        acked_ = sent_;
        return;
    }
    if (counted == 0) {
        // What was laid into the tail stays: whole frames, over which replay walks.
        if (in_tail)
            runs_.back().end = end;
        else if (turn.counted)
            account_.discharge(pool_.chunk_size());
        return;
    }
    if (turn.rst_only) rst_laid_ += end - turn.begin;
    if (!in_tail) runs_.push_back({turn.chunk, 0, sent_ - counted + 1, 0});
    runs_.back().end = end;
    runs_.back().frames += counted;
}

bool replay_buffer::on_ack(std::uint64_t frames) {
    if (frames > sent_) return false;
    if (frames <= acked_) return true;
    acked_ = frames;
    release_acked();
    return true;
}

void replay_buffer::release_acked() {
    // What is still to be sent again stays, even if it was acknowledged meanwhile: numbers are
    // implicit, so a replay that has begun leaves none out.
    const auto free_below = replaying() ? std::min(acked_, replay_next_ - 1) : acked_;
    while (!runs_.empty() && frames_end(runs_.front()) - 1 <= free_below) {
        runs_.pop_front();
        account_.discharge(pool_.chunk_size());
        if (replaying()) --replay_run_;
    }
    if (runs_.size() * pool_.chunk_size() <= limit_) rst_laid_ = 0;
}

bool replay_buffer::grow(instant now, duration rtt) {
    if (has_room() || limit_ >= limits_.max || now - grown_ < rtt) return false;
    grown_ = now;
    limit_ = std::min(limits_.max, limit_ * 2);
    return true;
}

std::uint64_t replay_buffer::start_replay(std::uint64_t received) {
    const auto first = std::max(received, acked_) + 1;
    stop_replay();
    acked_ = std::max(received, acked_);
    release_acked();
    if (first <= sent_) locate(first);
    return first;
}

void replay_buffer::locate(std::uint64_t frame) {
    replay_run_ = 0;
    while (frames_end(runs_[replay_run_]) <= frame)
        ++replay_run_;
    const auto& found = runs_[replay_run_];
    replay_next_ = found.first_frame;
    replay_offset_ = 0;
    while (true) {
        const auto header = decode_header(found.chunk.data() + replay_offset_);
        if (is_counted(header.flags) && replay_next_++ == frame) break;
        replay_offset_ += frame_header_size + header.length;
    }
    replay_next_ = frame;
}

bytes_view replay_buffer::next_replay(std::size_t size_max, chunk_ref& chunk) {
    assert(replaying());
    const auto& current = runs_[replay_run_];
    chunk = current.chunk;
    const auto memory = chunk.data();
    auto header = decode_header(memory + replay_offset_);
    while (!is_counted(header.flags)) {
        replay_offset_ += frame_header_size + header.length;
        header = decode_header(memory + replay_offset_);
    }
    const auto begin = replay_offset_;
    do {
        replay_offset_ += frame_header_size + header.length;
        ++replay_next_;
        if (replay_next_ == frames_end(current)) break;
        header = decode_header(memory + replay_offset_);
    } while (is_counted(header.flags) &&
             replay_offset_ - begin + frame_header_size + header.length <= size_max);
    const auto end = replay_offset_;
    if (replay_next_ > sent_) {
        stop_replay();
    } else if (replay_next_ == frames_end(current)) {
        // At once, so that an ACK never frees the run that replay_run_ names.
        ++replay_run_;
        replay_offset_ = 0;
    }
    return {memory + begin, end - begin};
}

void replay_buffer::stop_replay() {
    if (!replaying()) return;
    replay_next_ = 0;
    release_acked();
}

void replay_buffer::clear() {
    replay_next_ = 0;
    acked_ = sent_;
    for (; !runs_.empty(); runs_.pop_front())
        account_.discharge(pool_.chunk_size());
}

} // namespace muxsocks
