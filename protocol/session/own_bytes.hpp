#pragma once

/// \file
/// Bytes of the session's user that a stream is to send: a request or a reply, for a moment only.
/// An empty one holds no memory.

#include "protocol/byte_order.hpp"

#include <memory>
#include <vector>

namespace muxsocks {

class own_bytes {
  public:
    bool empty() const { return !held_; }
    std::size_t size() const { return held_ ? held_->size() : 0; }
    /// Valid until the next change.
    bytes_view view() const { return held_ ? bytes_view(*held_) : bytes_view(); }
    std::vector<std::uint8_t> copy() const { return {view().begin(), view().end()}; }

    void append(bytes_view bytes) {
        if (bytes.empty()) return;
        if (!held_) held_ = std::make_unique<std::vector<std::uint8_t>>();
        held_->insert(held_->end(), bytes.begin(), bytes.end());
    }
    /// Drops the first ones; `bytes` is at most size().
    void consume(std::size_t bytes) {
        if (bytes == size()) return clear();
        held_->erase(held_->begin(), held_->begin() + static_cast<std::ptrdiff_t>(bytes));
    }
    void clear() { held_.reset(); }

  private:
    std::unique_ptr<std::vector<std::uint8_t>> held_;
};

} // namespace muxsocks
