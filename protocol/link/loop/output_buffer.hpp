#pragma once

/// \file
/// The bytes that wait to be written to a link's socket: one contiguous block, appended to at its
/// end, taken from its front.
///
///     memory_ |  taken already  |  data(), size()  |  room for more  |
///             0               begin_              end_           capacity_
///
/// An empty buffer may hold memory or none: a link moves a buffer out of its pool while it has
/// something to send and puts it back when it has drained. Bounding it is the owner's business: it
/// encrypts nothing more while bytes wait here.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace muxsocks {

class output_buffer {
  public:
    output_buffer() = default;
    /// A buffer that holds `capacity` bytes before it has to grow.
    explicit output_buffer(std::size_t capacity);
    output_buffer(output_buffer&& other) noexcept;
    output_buffer& operator=(output_buffer&& other) noexcept;

    const std::uint8_t* data() const { return memory_.get() + begin_; }
    std::size_t size() const { return end_ - begin_; }
    bool empty() const { return begin_ == end_; }
    /// Bytes of memory held, used or not.
    std::size_t capacity() const { return capacity_; }
    /// What waits, oldest first. Valid until the next non-const call.
    std::span<const std::uint8_t> view() const { return {data(), size()}; }

    /// Room for at least `bytes` more behind what waits; what is written there counts after commit.
    /// Never fails (short of memory it throws std::bad_alloc, as all of the library does).
    /// Valid until the next non-const call.
    std::span<std::uint8_t> prepare(std::size_t bytes);
    /// Adds the first `bytes` of what prepare returned.
    void commit(std::size_t bytes) { end_ += bytes; }
    void append(std::span<const std::uint8_t> bytes);

    /// The transport took the first `bytes`, at most size().
    void consume(std::size_t bytes);
    /// Drops what waits, keeps the memory.
    void clear() { begin_ = end_ = 0; }
    /// Drops what waits and gives the memory back.
    void release();

  private:
    std::unique_ptr<std::uint8_t[]> memory_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace muxsocks
