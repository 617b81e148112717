#pragma once

/// \file
/// Whose bytes go out next, and how many: streams that were idle or sent little first, then bulk
/// streams by deficit round robin (docs/DESIGN.md, "Scheduling"). Control frames come before both
/// and are not its business. It holds streams that can send now, and no others.

#include "protocol/session/stream.hpp"

#include <algorithm>

namespace muxsocks {

/// A first-in, first-out list through stream::next_ready.
class ready_list {
  public:
    bool empty() const { return first_ == nullptr; }
    stream* front() const { return first_; }
    bool single() const { return first_ && first_ == last_; }
    void push(stream& s) {
        s.next_ready = nullptr;
        (last_ ? last_->next_ready : first_) = &s;
        last_ = &s;
    }
    stream& pop() {
        auto& s = *first_;
        first_ = s.next_ready;
        if (!first_) last_ = nullptr;
        s.next_ready = nullptr;
        return s;
    }
    /// O(length): for the rare stream that ends while it is listed.
    void remove(stream& s) {
        stream* before = nullptr;
        for (auto at = first_; at; before = at, at = at->next_ready) {
            if (at != &s) continue;
            (before ? before->next_ready : first_) = s.next_ready;
            if (last_ == &s) last_ = before;
            s.next_ready = nullptr;
            return;
        }
    }

  private:
    stream* first_ = nullptr;
    stream* last_ = nullptr;
};

class scheduler {
  public:
    /// A frame that fills a TLS record with its header.
    static constexpr std::uint32_t quantum_contended = 16'377;
    /// Two visits fill a chunk.
    static constexpr std::uint32_t quantum_alone = 4 * quantum_contended;
    /// A whole chunk.
    static constexpr std::uint32_t quantum_fast = 2 * quantum_alone;
    /// Above these rates a larger quantum costs no one a noticeable wait, and each read and each
    /// write of a socket moves more.
    static constexpr std::uint64_t fast_bytes_per_second = 200'000'000;
    static constexpr std::uint64_t brisk_bytes_per_second = 100'000'000;

    bool empty() const { return fresh_.empty() && bulk_.empty(); }
    std::size_t count() const { return count_; }
    /// Changes when the bulk streams have gone round.
    std::uint32_t round() const { return round_; }
    bool fresh_empty() const { return fresh_.empty(); }

    /// The stream has something that it may send. First in line if it has sent less than a quantum
    /// in this round of the bulk streams.
    void add(stream& s) {
        if (s.queued != stream::queue::none) return;
        if (s.round != round_) {
            s.round = round_;
            s.round_bytes = 0;
        }
        const bool fresh = s.round_bytes < visit();
        s.queued = fresh ? stream::queue::fresh : stream::queue::bulk_round;
        (fresh ? fresh_ : bulk_).push(s);
        ++count_;
    }
    void remove(stream& s) {
        if (s.queued == stream::queue::fresh) take_out(fresh_, s);
        if (s.queued == stream::queue::bulk_round) take_out(bulk_, s);
        if (marker_ == &s) marker_ = nullptr;
    }
    /// The stream is to be deleted; it is not listed here any more.
    void forget(const stream& s) {
        if (marker_ == &s) marker_ = nullptr;
    }
    /// Takes all streams out; the caller has to see to them.
    void clear() {
        fresh_ = {};
        bulk_ = {};
        count_ = 0;
        marker_ = nullptr;
    }
    /// Takes the next stream out; the caller adds it again if it can still send.
    stream& next() {
        if (!fresh_.empty()) return take(fresh_);
        auto& s = take(bulk_);
        // A round also ends when the stream that began it has nothing more to send.
        if (marker_ == nullptr || marker_->queued != stream::queue::bulk_round) {
            ++round_;
            marker_ = bulk_.empty() ? nullptr : &s;
        }
        return s;
    }
    /// How much the stream may send in this visit.
    std::uint32_t quantum() const {
        return empty() ? std::max(quantum_alone, contended_) : visit();
    }
    /// At a low rate streams have their turns more often with less.
    void set_visit_max(std::size_t bytes) { visit_max_ = bytes; }
    /// Whether no other stream waits, on a link that carries so much that a batch of half a MiB is
    /// gone in milliseconds: whoever comes next hardly waits for it, and it saves wake-ups.
    bool alone_and_fast() const { return contended_ == quantum_fast && waiting_at_most_one(); }
    /// What the link carries now, for the quantum.
    void on_rate(std::uint64_t bytes_per_second) {
        contended_ = bytes_per_second >= fast_bytes_per_second    ? quantum_fast
                     : bytes_per_second >= brisk_bytes_per_second ? 2 * quantum_contended
                                                                  : quantum_contended;
    }
    void on_sent(stream& s, std::size_t bytes) {
        if (s.round != round_) {
            s.round = round_;
            s.round_bytes = 0;
        }
        s.round_bytes += static_cast<std::uint32_t>(bytes);
    }

  private:
    std::uint32_t visit() const {
        return static_cast<std::uint32_t>(std::min<std::size_t>(contended_, visit_max_));
    }
    bool waiting_at_most_one() const {
        return (fresh_.empty() && (bulk_.empty() || bulk_.single())) ||
               (bulk_.empty() && fresh_.single());
    }
    void take_out(ready_list& list, stream& s) {
        list.remove(s);
        --count_;
        s.queued = stream::queue::none;
    }
    stream& take(ready_list& list) {
        auto& s = list.pop();
        --count_;
        s.queued = stream::queue::none;
        return s;
    }

    ready_list fresh_;
    ready_list bulk_;
    std::size_t count_ = 0; ///< Of both.
    std::uint32_t contended_ = quantum_contended;
    std::size_t visit_max_ = SIZE_MAX;
    std::uint32_t round_ = 1;
    stream* marker_ = nullptr; ///< The bulk stream that began this round.
};

} // namespace muxsocks
