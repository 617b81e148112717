#pragma once

/// \file
/// Pooled memory for turns on their way out. A turn is laid into a chunk, encrypted or written from
/// there, and the same chunk is kept until the peer has acknowledged it.
/// Single-threaded: one pool a thread; a pool must outlive its chunks.

#include "protocol/byte_order.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace muxsocks {

class chunk_pool;

/// One reference to a chunk; the last one gives it back to its pool.
class chunk_ref {
  public:
    chunk_ref() = default;
    chunk_ref(const chunk_ref& other) noexcept : chunk_(other.chunk_) {
        if (chunk_) ++chunk_->references;
    }
    chunk_ref(chunk_ref&& other) noexcept : chunk_(std::exchange(other.chunk_, nullptr)) {}
    chunk_ref& operator=(chunk_ref other) noexcept {
        std::swap(chunk_, other.chunk_);
        return *this;
    }
    ~chunk_ref() { release(); }

    explicit operator bool() const { return chunk_ != nullptr; }
    std::uint8_t* data() const { return chunk_->memory.get(); }
    /// Counts who keeps the chunk's bytes until they are acknowledged, so that its memory is
    /// charged once, however many do. Whether this is the first one.
    bool add_keeper() const { return chunk_->keepers++ == 0; }
    /// Whether that was the last one.
    bool remove_keeper() const { return --chunk_->keepers == 0; }
    void reset() {
        release();
        chunk_ = nullptr;
    }
    friend bool operator==(const chunk_ref&, const chunk_ref&) = default;

  private:
    friend class chunk_pool;
    struct chunk {
        std::unique_ptr<std::uint8_t[]> memory;
        chunk_pool* pool;
        std::size_t references;
        std::size_t keepers = 0;
    };
    explicit chunk_ref(chunk* c) : chunk_(c) { c->references = 1; }
    void release() noexcept;

    chunk* chunk_ = nullptr;
};

class chunk_pool {
  public:
    static constexpr std::size_t default_chunk_size = 128 * 1024;

    /// Chunks of `chunk_size` bytes, of which `free_max` unused ones are kept.
    explicit chunk_pool(std::size_t chunk_size = default_chunk_size, std::size_t free_max = 32)
        : chunk_size_(chunk_size), free_max_(free_max) {}
    chunk_pool(const chunk_pool&) = delete;
    chunk_pool& operator=(const chunk_pool&) = delete;
    ~chunk_pool();

    /// The most recently used free chunk (it is likely still in the cache), or a new one.
    chunk_ref take();
    std::size_t chunk_size() const { return chunk_size_; }
    /// Gives the memory of unused chunks back to the system.
    void trim();

  private:
    friend class chunk_ref;
    void give_back(chunk_ref::chunk* c) noexcept;

    std::size_t chunk_size_;
    std::size_t free_max_;
    std::vector<chunk_ref::chunk*> free_;
};

inline void chunk_ref::release() noexcept {
    if (chunk_ && --chunk_->references == 0) chunk_->pool->give_back(chunk_);
}

} // namespace muxsocks
