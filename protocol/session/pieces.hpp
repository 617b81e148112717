#pragma once

/// \file
/// What of a stream has arrived beyond a gap, in order of its offsets and without overlaps: of each
/// frame only bytes that are not held yet. An empty one holds no memory.

#include "protocol/byte_order.hpp"

#include <map>
#include <memory>
#include <vector>

namespace muxsocks {

class pieces {
  public:
    using bytes = std::vector<std::uint8_t>;
    /// A piece costs at least this, however few bytes it has.
    static constexpr std::size_t cost_min = 256;
    /// Neighbours are merged up to this size.
    static constexpr std::size_t merged_max = 16 * 1024;

    bool empty() const { return !held_; }
    /// Bytes held, and what they cost in memory.
    std::size_t size() const { return held_ ? held_->size : 0; }
    std::size_t cost() const { return held_ ? held_->cost : 0; }

    /// Keeps what is new of `added`, whose first byte has the offset. Returns how many bytes were.
    std::size_t add(std::uint64_t offset, bytes_view added);
    /// Takes the oldest piece out if it begins at `offset` or before; what lies below is cut off.
    /// Whether there was one; it may be empty then.
    bool take(std::uint64_t offset, bytes& out);
    void clear() { held_.reset(); }
    /// In order of their offsets: `function(std::uint64_t offset, const bytes&)`.
    template <typename Function>
    void for_each(Function function) const {
        if (!held_) return;
        for (const auto& [offset, piece] : held_->by_offset)
            function(offset, piece);
    }

  private:
    using map = std::map<std::uint64_t, bytes>;
    struct held {
        map by_offset;
        std::size_t size = 0;
        std::size_t cost = 0;
    };

    static std::size_t cost_of(const bytes& piece) {
        return piece.capacity() < cost_min ? cost_min : piece.capacity();
    }
    void insert(map::iterator behind, std::uint64_t offset, bytes_view added);

    std::unique_ptr<held> held_; ///< None while there is nothing: a stream is idle mostly.
};

} // namespace muxsocks
