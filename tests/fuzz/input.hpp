#pragma once

/// \file
/// A fuzzer's input, taken piece by piece; zeros once it is used up.

#include "protocol/byte_order.hpp"

#include <algorithm>

namespace muxsocks::fuzz {

class input {
  public:
    input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

    bool empty() const { return rest_.empty(); }
    std::uint8_t byte() {
        if (rest_.empty()) return 0;
        const auto value = rest_[0];
        rest_ = rest_.subspan(1);
        return value;
    }
    std::size_t word() {
        const auto high = byte();
        return std::size_t{high} << 8 | byte();
    }
    /// Up to `wanted` bytes, fewer at the end.
    bytes_view bytes(std::size_t wanted) {
        const auto taken = rest_.first(std::min(wanted, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }

  private:
    bytes_view rest_;
};

} // namespace muxsocks::fuzz
