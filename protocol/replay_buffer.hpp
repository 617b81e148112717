#pragma once

/// \file
/// What was sent and is not yet acknowledged, in the very chunks it was encrypted from, so that it
/// can be sent again on a new link (docs/PROTOCOL.md, "Resumption"). Counts the frames of the
/// sending direction. Bounded: when full, it refuses new chunks and the sender waits.
///
///     runs:   [ chunk: frames 1..9 | chunk: frames 10..17 | chunk: 18.. (tail, still filled) ]
///               ^ goes back to the pool when frame 9 is acknowledged

#include "protocol/chunk_pool.hpp"
#include "protocol/flow_control.hpp"
#include "protocol/memory_account.hpp"

#include <deque>

namespace muxsocks {

struct replay_limits {
    std::size_t initial = 4 * 1024 * 1024;
    std::size_t max = 64 * 1024 * 1024;
    std::size_t rst_extra = 64 * 1024; ///< For RST alone, on top, when all else waits.
};

class replay_buffer {
  public:
    replay_buffer(chunk_pool& pool, memory_account& account, replay_limits limits)
        : pool_(pool), account_(account), limits_(limits), limit_(limits.initial) {}
    ~replay_buffer() { clear(); }
    replay_buffer(const replay_buffer&) = delete;
    replay_buffer& operator=(const replay_buffer&) = delete;

    /// Whether sent frames are kept at all; off for sessions that cannot be resumed.
    void keep(bool on) {
        keep_ = on;
        if (!on) clear();
    }

    /// Where the next turn is laid: `begin` up to `end` in the chunk.
    struct area {
        chunk_ref chunk;
        std::size_t begin = 0;
        std::size_t end = 0;
        bool counted = false;  ///< Whether counted frames may be laid at all.
        bool rst_only = false; ///< Of those, whether only RST.
    };
    /// With `want_counted`, room for counted frames if the bounds allow it; if not, or without,
    /// room for control frames only. Only whole frames may be laid where counted ones may.
    area open(bool want_counted, bool want_rst);
    /// The turn is laid: bytes up to `end`, with `counted` frames that take their numbers now.
    void close(const area& turn, std::size_t end, std::uint64_t counted);

    std::uint64_t sent_frames() const { return sent_; }
    std::uint64_t acked_frames() const { return acked_; }
    /// Whether everything is acknowledged.
    bool empty() const { return acked_ == sent_; }
    bool on_ack(std::uint64_t frames); ///< False if more than was sent.
    /// Bytes of memory held, whole chunks.
    std::size_t held() const { return runs_.size() * pool_.chunk_size(); }

    /// Whether a counted frame could be laid now.
    bool has_room() const;
    bool has_rst_room() const { return has_room() || rst_laid_ < limits_.rst_extra; }
    /// The sender waits for room: doubles the bound, at most once a round trip. Whether it grew.
    bool grow(instant now, duration rtt);

    /// Begins to send again from the first frame above `received` (of the peer); returns its
    /// number.
    std::uint64_t start_replay(std::uint64_t received);
    bool replaying() const { return replay_next_ != 0; }
    /// The next stretch of counted frames to send again, at most `size_max` bytes unless one frame
    /// alone is longer; never empty while replaying(). `chunk` keeps the bytes alive.
    bytes_view next_replay(std::size_t size_max, chunk_ref& chunk);
    void stop_replay();
    void clear();

  private:
    struct run {
        chunk_ref chunk;
        std::size_t end = 0;
        std::uint64_t first_frame = 0;
        std::uint64_t frames = 0;
    };

    std::size_t min_room() const { return std::min<std::size_t>(16'384, pool_.chunk_size() / 4); }
    static std::uint64_t frames_end(const run& r) { return r.first_frame + r.frames; }
    bool above_limit() const {
        return runs_.size() > 1 && runs_.size() * pool_.chunk_size() > limit_;
    }
    bool tail_has_room() const {
        return !runs_.empty() && pool_.chunk_size() - runs_.back().end >= min_room();
    }
    bool charge_chunk();
    void release_acked();
    void locate(std::uint64_t frame);

    chunk_pool& pool_;
    memory_account& account_;
    replay_limits limits_;
    std::size_t limit_;
    std::deque<run> runs_;
    std::uint64_t sent_ = 0;
    std::uint64_t acked_ = 0;
    std::size_t rst_laid_ = 0; ///< Bytes of RST laid above the bound.
    std::uint64_t replay_next_ = 0;
    std::size_t replay_run_ = 0;
    std::size_t replay_offset_ = 0;
    instant grown_{};
    bool keep_ = false;
};

} // namespace muxsocks
