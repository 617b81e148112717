#pragma once

/// \file
/// The unread bytes of a stream whose local socket did not take them at once: a chain of blocks,
/// copied into once, read in place. An empty queue holds no memory.

#include "protocol/byte_order.hpp"

#include <memory>
#include <vector>

namespace muxsocks {

class byte_queue {
  public:
    byte_queue() = default;
    byte_queue(const byte_queue&) = delete;
    byte_queue& operator=(const byte_queue&) = delete;
    ~byte_queue() { clear(); }

    bool empty() const { return first_ == nullptr; }
    std::size_t size() const { return first_ ? first_->all.size : 0; }
    /// Bytes of memory held, blocks whole.
    std::size_t capacity() const { return first_ ? first_->all.capacity : 0; }

    /// Copies the bytes to the end.
    void append(bytes_view bytes);
    /// Fills `views` with the oldest bytes, in order; returns how many entries are used. Valid
    /// until the next consume or clear.
    std::size_t peek(std::span<bytes_view> views) const;
    /// All of it.
    std::vector<std::uint8_t> copy() const;
    /// Drops the oldest bytes; `bytes` is at most size().
    void consume(std::size_t bytes);
    void clear();

  private:
    struct block;
    /// What is known of the queue as a whole; in its first block, as an empty one is a pointer
    /// only.
    struct totals {
        block* last = nullptr;
        std::size_t size = 0;
        std::size_t capacity = 0;
    };
    struct block {
        std::unique_ptr<block> next;
        std::size_t capacity = 0;
        std::size_t begin = 0;
        std::size_t end = 0;
        std::unique_ptr<std::uint8_t[]> bytes;
        totals all;
    };
    static constexpr std::size_t block_min = 2048;
    static constexpr std::size_t block_max = 64 * 1024;

    void add_block(std::size_t wanted);
    void drop_first();

    std::unique_ptr<block> first_;
};

} // namespace muxsocks
