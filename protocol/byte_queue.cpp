#include "protocol/byte_queue.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace muxsocks {

void byte_queue::append(bytes_view bytes) {
    while (!bytes.empty()) {
        if (!first_ || first_->all.last->end == first_->all.last->capacity) add_block(bytes.size());
        auto& last = *first_->all.last;
        const auto part = std::min(bytes.size(), last.capacity - last.end);
        std::memcpy(last.bytes.get() + last.end, bytes.data(), part);
        last.end += part;
        first_->all.size += part;
        bytes = bytes.subspan(part);
    }
}

std::size_t byte_queue::peek(std::span<bytes_view> views) const {
    std::size_t used = 0;
    for (auto b = first_.get(); b && used < views.size(); b = b->next.get())
        views[used++] = {b->bytes.get() + b->begin, b->end - b->begin};
    return used;
}

std::vector<std::uint8_t> byte_queue::copy() const {
    std::vector<std::uint8_t> all;
    all.reserve(size());
    for (auto b = first_.get(); b; b = b->next.get())
        all.insert(all.end(), b->bytes.get() + b->begin, b->bytes.get() + b->end);
    return all;
}

void byte_queue::consume(std::size_t bytes) {
    assert(bytes <= size());
    while (bytes > 0) {
        const auto part = std::min(bytes, first_->end - first_->begin);
        first_->begin += part;
        first_->all.size -= part;
        bytes -= part;
        if (first_->begin == first_->end) drop_first();
    }
}

void byte_queue::drop_first() {
    auto all = first_->all;
    all.capacity -= first_->capacity;
    first_ = std::move(first_->next);
    if (first_) first_->all = all;
}

void byte_queue::clear() {
    // One after the other: a long chain would destroy itself recursively.
    while (first_)
        first_ = std::move(first_->next);
}

void byte_queue::add_block(std::size_t wanted) {
    auto added = std::make_unique<block>();
    // Grows with the queue, so that neither one byte costs 64 KiB nor a megabyte 500 blocks.
    added->capacity = std::clamp(std::max(wanted, size() / 2), block_min, block_max);
    added->bytes.reset(new std::uint8_t[added->capacity]);
    auto& place = first_ ? first_->all.last->next : first_;
    place = std::move(added);
    first_->all.last = place.get();
    first_->all.capacity += place->capacity;
}

} // namespace muxsocks
