#pragma once

/// \file
/// Random-looking bytes that can be made and checked from any offset without a copy: eight bytes at
/// a time from a counter (the finaliser of splitmix64). Two patterns with different keys have
/// nothing in common, so that bytes which came from another stream never pass for the right ones.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace muxsocks::tools {

class pattern {
  public:
    explicit pattern(std::uint64_t key) : key_(key) {}

    /// Writes the bytes from `offset` on.
    void fill(std::uint64_t offset, std::span<std::byte> out) const;

    /// Where the first byte differs from the pattern at `offset`, counted from there.
    std::optional<std::size_t> first_difference(std::uint64_t offset,
                                                std::span<const std::byte> bytes) const;

  private:
    std::uint64_t word(std::uint64_t index) const;
    std::byte byte_at(std::uint64_t offset) const;

    std::uint64_t key_;
};

} // namespace muxsocks::tools
