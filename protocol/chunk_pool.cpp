#include "protocol/chunk_pool.hpp"

namespace muxsocks {

chunk_pool::~chunk_pool() { trim(); }

chunk_ref chunk_pool::take() {
    if (!free_.empty()) {
        const auto c = free_.back();
        free_.pop_back();
        return chunk_ref(c);
    }
    // Room for every chunk that could come back, so that give_back never allocates.
    free_.reserve(free_max_);
    auto memory = std::unique_ptr<std::uint8_t[]>(new std::uint8_t[chunk_size_]);
    return chunk_ref(new chunk_ref::chunk{std::move(memory), this, 0, 0});
}

void chunk_pool::trim() {
    for (const auto c : free_)
        delete c;
    free_.clear();
}

void chunk_pool::give_back(chunk_ref::chunk* c) noexcept {
    if (free_.size() < free_max_)
        free_.push_back(c);
    else
        delete c;
}

} // namespace muxsocks
