#pragma once

/// \file
/// What one link has carried and its peer has not yet acknowledged, in the very chunks it was
/// encrypted from. Counts the kept frames of the sending direction. Bounded: when full, it gives no
/// room and the sender waits.
///
///     runs:   [ chunk: frames 1..9 | stretch of another link's chunk | 18.. (tail, still filled) ]
///               ^ given up when frame 9 is acknowledged

#include "protocol/chunk_pool.hpp"
#include "protocol/flow_control.hpp"
#include "protocol/memory_account.hpp"
#include "protocol/session/frame_rules.hpp"

#include <deque>

namespace muxsocks {

struct kept_limits {
    std::size_t initial = 4 * 1024 * 1024; ///< A link.
    std::size_t max = 64 * 1024 * 1024;
    std::size_t rst_extra = 64 * 1024; ///< For RST alone, on top, when all else waits.
};

/// Whole frames in a chunk, one behind the other, of which `frames` are kept.
struct stretch {
    chunk_ref chunk;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::uint64_t frames = 0;

    bytes_view bytes() const { return {chunk.data() + begin, end - begin}; }
};

/// The frame at `at`, header included.
inline bytes_view frame_at(const std::uint8_t* at) {
    return {at, frame_header_size + decode_header(at).length};
}

/// Charges chunks whose bytes are kept, each once. Of a session.
class kept_memory {
  public:
    kept_memory(chunk_pool& chunks, memory_account& charged_to)
        : pool(chunks), account_(charged_to) {}

    chunk_pool& pool;

    /// Whether one more chunk may be kept.
    bool reserve();
    void reserve_anyway() { account_.charge_anyway(pool.chunk_size()); }
    void give_up_reserved() { account_.discharge(pool.chunk_size()); }
    /// Keeps a chunk that was reserved.
    void keep_reserved(const chunk_ref& chunk) {
        ++chunks_;
        chunk.add_keeper();
    }
    /// Keeps a chunk that somebody keeps already.
    void keep(const chunk_ref& chunk) { chunk.add_keeper(); }
    void forget(const chunk_ref& chunk);
    /// Bytes of chunks that are kept.
    std::size_t held() const { return chunks_ * pool.chunk_size(); }

  private:
    memory_account& account_;
    std::size_t chunks_ = 0;
};

class kept_frames {
  public:
    /// With `keep` off a frame counts as acknowledged when it has been sent.
    kept_frames(kept_memory& memory, kept_limits limits, bool keep)
        : memory_(memory), limits_(limits), limit_(limits.initial), keep_(keep) {}
    ~kept_frames() { clear(); }
    kept_frames(const kept_frames&) = delete;
    kept_frames& operator=(const kept_frames&) = delete;

    void keep(bool on) { keep_ = on; }
    bool keeps() const { return keep_; }

    /// Where the next turn is laid: `begin` up to `end` in the chunk.
    struct area {
        chunk_ref chunk;
        std::size_t begin = 0;
        std::size_t end = 0;
        bool kept = false;     ///< Whether kept frames may be laid at all.
        bool rst_only = false; ///< Of those, whether only RST.
    };
    /// With `want_kept`, room for kept frames if the bounds allow it; if not, or without, room for
    /// control frames only, and at least `needed` bytes of a chunk. Only whole frames may be laid
    /// where kept ones may.
    area open(bool want_kept, bool want_rst, std::size_t needed = 0);
    /// The turn is laid: bytes up to `end`, `frames` of them kept.
    void close(const area& turn, std::size_t end, std::uint64_t frames);
    /// A stretch of what is kept already goes out again, by this link.
    void carry(const stretch& again);

    std::uint64_t sent() const { return sent_; }
    std::uint64_t acked() const { return acked_; }
    bool empty() const { return acked_ == sent_; }
    std::size_t held() const { return held_; }
    /// The peer has processed `frames` of them; those that are new are given to
    /// `function(bytes_view frame)`. False if that is more than was sent.
    template <typename Function>
    bool on_ack(std::uint64_t frames, Function function);
    /// The link is lost: what it had not acknowledged goes to `function(const stretch&)`, frame by
    /// frame, and is kept here no more (`function` keeps it). What has gone again by another link
    /// already goes to `copied(bytes_view frame)`.
    template <typename Function, typename Copied>
    void give_up(Function function, Copied copied);
    /// The link is doubted: each frame is given to `function(const stretch&)` once, to be laid on
    /// another link as well.
    template <typename Function>
    void copy_once(Function function);

    /// Each frame that is not acknowledged and has not gone again by another link:
    /// `function(bytes_view frame, std::uint64_t number)`.
    template <typename Function>
    void for_each(Function function) const;

    bool has_room(std::size_t needed = 0) const;
    bool has_rst_room() const { return has_room() || rst_laid_ < limits_.rst_extra; }
    /// Whether a stretch may be carried.
    bool may_carry() const { return runs_.empty() || held_ < limit_; }
    /// The sender waits for room: doubles the bound, at most once a round trip, and once for each
    /// half of it that was acknowledged: a peer that withholds ACK gets no more. Whether it grew.
    bool grow(instant now, duration rtt);
    void clear();

  private:
    struct run {
        stretch what; ///< From the first frame that is not acknowledged.
        std::size_t cost = 0;
        bool copied = false; ///< Whether it has gone again by another link.
    };

    std::size_t min_room() const { return std::min<std::size_t>(16'384, chunk_size() / 4); }
    std::size_t chunk_size() const { return memory_.pool.chunk_size(); }
    bool tail_has_room(std::size_t needed) const {
        return tail_open_ && !runs_.empty() &&
               chunk_size() - runs_.back().what.end >= std::max(min_room(), needed);
    }
    bool reserve();
    void pop_front();
    void add(const stretch& what, std::size_t cost);
    /// Calls `function(bytes_view frame, std::size_t begin)` for each kept frame of the stretch.
    template <typename Function>
    static void walk(const stretch& what, Function function);

    kept_memory& memory_;
    kept_limits limits_;
    std::size_t limit_;
    std::deque<run> runs_;
    std::uint64_t sent_ = 0;
    std::uint64_t acked_ = 0;
    std::size_t held_ = 0;     ///< The costs of all runs.
    std::size_t rst_laid_ = 0; ///< Bytes of RST laid above the bound.
    instant grown_{};
    std::size_t given_up_ = 0; ///< Costs of runs acknowledged since it last grew.
    bool keep_;
    bool tail_open_ = false; ///< Whether the newest run may be filled further.
};

template <typename Function>
void kept_frames::walk(const stretch& what, Function function) {
    auto left = what.frames;
    for (auto at = what.begin; left > 0;) {
        const auto frame = frame_at(what.chunk.data() + at);
        if (is_kept(frame.data())) {
            --left;
            function(frame, at);
        }
        at += frame.size();
    }
}

template <typename Function>
bool kept_frames::on_ack(std::uint64_t frames, Function function) {
    if (frames > sent_) return false;
    while (acked_ < frames) {
        auto& oldest = runs_.front().what;
        const auto frame = frame_at(oldest.chunk.data() + oldest.begin);
        oldest.begin += frame.size();
        if (!is_kept(frame.data())) continue;
        ++acked_;
        --oldest.frames;
        function(frame);
        if (oldest.frames == 0) pop_front();
    }
    if (held_ <= limit_) rst_laid_ = 0;
    return true;
}

template <typename Function, typename Copied>
void kept_frames::give_up(Function function, Copied copied) {
    for (const auto& each : runs_) {
        walk(each.what, [&](bytes_view frame, std::size_t at) {
            if (each.copied)
                copied(frame);
            else
                function(stretch{each.what.chunk, at, at + frame.size(), 1});
        });
    }
    clear();
}

template <typename Function>
void kept_frames::for_each(Function function) const {
    auto number = acked_;
    for (const auto& each : runs_) {
        if (!each.copied)
            walk(each.what, [&, at = number](bytes_view frame, std::size_t) mutable {
                function(frame, ++at);
            });
        number += each.what.frames;
    }
}

template <typename Function>
void kept_frames::copy_once(Function function) {
    for (auto& each : runs_) {
        if (each.copied) continue;
        each.copied = true;
        walk(each.what, [&](bytes_view frame, std::size_t at) {
            function(stretch{each.what.chunk, at, at + frame.size(), 1});
        });
    }
    tail_open_ = false;
}

} // namespace muxsocks
