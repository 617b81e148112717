#pragma once

/// \file
/// The bytes that a measured transfer carries, and the hash that both of its ends compare.
///
/// Content is one fixed block of random-looking bytes, repeated, and entered at a place that the
/// stream's seed gives. The block's length is a prime number of 64-byte groups, so it shares no
/// factor with any frame, record or buffer size: a lost, doubled or swapped piece of a stream
/// changes the hash, and so does a piece of another stream.
///
/// Measuring must cost next to nothing beside what is measured. The sender therefore never touches
/// the bytes: it sends from the one block and computes its hash from the block's (append_block).
/// The receiver really hashes every byte, at some 0.05 CPU seconds per GB.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace muxsocks::load {

/// Order-sensitive 64-bit hash: eight interleaved polynomials over 64-bit words, mixed at the end.
/// Made for speed against accidents, not against an adversary.
class content_hash {
  public:
    static constexpr std::size_t group_bytes = 64;

    /// Takes the next bytes, of any length.
    void update(std::span<const std::uint8_t> bytes);

    /// Takes a block of `groups` 64-byte groups that alone, from a fresh hash, would give `block`.
    /// Only valid while whole groups have been taken. Costs the same for any length.
    void append_block(const content_hash& block, std::uint64_t groups);

    /// The hash of everything taken so far; taking more afterwards goes on.
    std::uint64_t value() const;

  private:
    void take_groups(const std::uint8_t* bytes, std::size_t groups);

    std::array<std::uint64_t, 8> lanes_{};
    std::array<std::uint8_t, group_bytes> tail_{};
    std::size_t tail_bytes_ = 0;
    std::uint64_t bytes_ = 0;
};

/// One repetition of the content: 262,336 bytes, 4,099 groups.
constexpr std::size_t content_block_bytes = 4099 * content_hash::group_bytes;

/// The block as it starts at group 0.
std::span<const std::uint8_t> content_block();

/// Where the content of a stream with this seed enters the block, in bytes.
std::size_t content_phase(std::uint64_t seed);

/// The hash of one block entered at `phase`, for append_block.
content_hash content_block_hash(std::size_t phase);

} // namespace muxsocks::load
