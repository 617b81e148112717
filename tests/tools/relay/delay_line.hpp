#pragma once

/// \file
/// One direction of a long wire, as arithmetic: a bottleneck with a queue, and behind it a fixed
/// delay. Bytes are put in at the source's end and may be taken out when they are due; nothing here
/// reads a clock or a socket.
///
///       write side                                                       read side
///     source --> [ queue, drained at `rate` ] --> [ on the wire for `delay` ] --> destination
///                room() limits what goes in       ready(now) says what may come out
///
/// The bottleneck is a virtual clock: a byte that goes in departs when all before it have departed
/// and its own time at `rate` has passed, and is due `delay` later. What is queued is therefore
/// known without a timer for each packet. Bytes lie in pooled blocks that go back as soon as they
/// are empty, last in first out, so that a wire without delay keeps to the same few warm blocks.

#include "tests/tools/quantity.hpp"

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace muxsocks::tools {

/// Blocks of 128 KiB that all delay lines share; must outlive them.
class block_pool {
  public:
    static constexpr std::size_t block_bytes = 128 * 1024;
    using block = std::unique_ptr<std::byte[]>;

    block take();
    void give_back(block empty);

  private:
    std::vector<block> free_;
};

/// What the wire does in one direction.
struct wire_settings {
    duration delay{};              ///< one way
    std::uint64_t rate = 0;        ///< bytes a second, 0: unlimited
    std::uint64_t queue_bytes = 0; ///< in front of the bottleneck, or in all without a rate

    /// The bytes that may be inside in all: the queue, and what is on the wire at full rate.
    std::uint64_t capacity_bytes() const;
};

class delay_line {
  public:
    static constexpr std::size_t vectors = 16;

    explicit delay_line(block_pool& pool) : pool_(pool) {}
    ~delay_line();
    delay_line(const delay_line&) = delete;
    delay_line& operator=(const delay_line&) = delete;

    /// Bytes that may go in now without overfilling the queue.
    std::size_t room(const wire_settings& wire, time_point now) const;

    /// When the bottleneck will have made room for `bytes`; `now` if it has, empty if only the
    /// destination can make it by taking what is due.
    std::optional<time_point> room_at(const wire_settings& wire, std::size_t bytes,
                                      time_point now) const;

    /// Where to put the next bytes: at most `bytes`, in two areas. Valid until the next call.
    std::array<iovec, 2> prepare(std::size_t bytes);

    /// The first `bytes` of the prepared areas have been filled.
    void commit(const wire_settings& wire, std::size_t bytes, time_point now);

    /// When everything that is inside now will be due, so that an end can follow the last byte.
    time_point end_due(const wire_settings& wire, time_point now) const;

    /// Bytes that are due, and when the next ones are.
    std::size_t ready(time_point now) const;
    std::optional<time_point> next_due() const;

    /// Views of the oldest `bytes` (at most ready()), for writev; returns how many entries count.
    std::size_t view(std::size_t bytes, std::span<iovec, vectors> out) const;

    /// The oldest `bytes` have left.
    void consume(std::size_t bytes);

    std::uint64_t held_bytes() const { return put_in_ - taken_out_; }
    void clear();

  private:
    struct segment {
        std::uint64_t end; ///< counted in bytes put in, exclusive
        time_point first_due;
        time_point due;
    };

    void append_segment(std::uint64_t bytes, time_point due);

    block_pool& pool_;
    std::deque<block_pool::block> blocks_;
    std::size_t head_ = 0; ///< first unread byte of the first block
    std::size_t tail_ = 0; ///< bytes in use over all blocks, head_ included
    std::uint64_t put_in_ = 0;
    std::uint64_t taken_out_ = 0;
    std::deque<segment> segments_;
    time_point departs_{}; ///< when the bottleneck is done with the last byte
};

} // namespace muxsocks::tools
