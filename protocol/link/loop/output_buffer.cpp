#include "protocol/link/loop/output_buffer.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace muxsocks {

output_buffer::output_buffer(std::size_t capacity) { prepare(capacity); }

output_buffer::output_buffer(output_buffer&& other) noexcept
    : memory_(std::move(other.memory_)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

output_buffer& output_buffer::operator=(output_buffer&& other) noexcept {
    memory_ = std::move(other.memory_);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
}

std::span<std::uint8_t> output_buffer::prepare(std::size_t bytes) {
    if (capacity_ - end_ < bytes) {
        const std::size_t waiting = size();
        if (capacity_ - waiting >= bytes && waiting <= begin_) {
            // The taken part is at least as large as what has to move: moving stays linear.
            std::memcpy(memory_.get(), data(), waiting);
        } else {
            const std::size_t capacity = std::max(waiting + bytes, 2 * capacity_);
            auto memory = std::make_unique_for_overwrite<std::uint8_t[]>(capacity);
            if (waiting != 0) std::memcpy(memory.get(), data(), waiting);
            memory_ = std::move(memory);
            capacity_ = capacity;
        }
        begin_ = 0;
        end_ = waiting;
    }
    return {memory_.get() + end_, capacity_ - end_};
}

void output_buffer::append(std::span<const std::uint8_t> bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()).data(), bytes.data(), bytes.size());
    commit(bytes.size());
}

void output_buffer::consume(std::size_t bytes) {
    assert(bytes <= size());
    begin_ += bytes;
    if (begin_ == end_) clear();
}

void output_buffer::release() { *this = output_buffer(); }

} // namespace muxsocks
