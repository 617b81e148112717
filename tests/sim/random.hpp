#pragma once

/// \file
/// Chance from a seed, the same with every compiler and library: a schedule that fails can be run
/// again by its seed alone.

#include <cstdint>

namespace muxsocks::sim {

/// SplitMix64.
class random_source {
  public:
    explicit random_source(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15;
        auto z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    /// 0 up to `bound` - 1; `bound` is not 0.
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }
    /// `low` up to `high`, both included.
    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        return low + below(high - low + 1);
    }
    /// True `count` times out of `of`.
    bool chance(std::uint64_t count, std::uint64_t of) { return below(of) < count; }
    template <typename Value, std::size_t Size>
    Value one_of(const Value (&values)[Size]) {
        return values[below(Size)];
    }

  private:
    std::uint64_t state_;
};

} // namespace muxsocks::sim
