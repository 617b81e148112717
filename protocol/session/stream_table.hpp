#pragma once

/// \file
/// Stream id to stream: open addressing over a power of two. Ids that follow each other are
/// scattered, so that new ones never have to pass a long run of old streams. Owns nothing.

#include "protocol/session/stream.hpp"

#include <bit>
#include <vector>

namespace muxsocks {

class stream_table {
  public:
    std::size_t size() const { return size_; }

    stream* find(std::uint32_t id) const {
        if (slots_.empty()) return nullptr;
        for (auto i = home(id);; i = next(i))
            if (slots_[i] == nullptr || slots_[i]->id == id) return slots_[i];
    }
    /// The id must not be in the table.
    void insert(stream& s) {
        if (size_ * 2 >= slots_.size()) rehash(slots_.empty() ? 16 : slots_.size() * 2);
        place(s);
        ++size_;
    }
    void erase(const stream& s) {
        auto i = home(s.id);
        while (slots_[i] != &s)
            i = next(i);
        slots_[i] = nullptr;
        --size_;
        // Moves up what would no longer be found behind the gap.
        for (auto j = next(i); slots_[j]; j = next(j)) {
            const auto moved = slots_[j];
            slots_[j] = nullptr;
            place(*moved);
        }
        if (slots_.size() > 64 && size_ * 8 < slots_.size()) rehash(slots_.size() / 2);
    }
    /// How many slots find() looks at, for tests: few, whatever ids have come and gone.
    std::size_t steps(std::uint32_t id) const {
        std::size_t count = 1;
        for (auto i = home(id); slots_[i] && slots_[i]->id != id; i = next(i))
            ++count;
        return count;
    }
    template <typename Function>
    void for_each(Function function) const {
        for (const auto s : slots_)
            if (s) function(*s);
    }

  private:
    // Fibonacci hashing: the product's highest bits. Ids of one side are all odd or all even, so
    // that their lowest bit says nothing.
    std::size_t home(std::uint32_t id) const { return ((id >> 1) * 0x9E3779B1U) >> shift_; }
    std::size_t next(std::size_t i) const { return (i + 1) & (slots_.size() - 1); }
    void place(stream& s) {
        auto i = home(s.id);
        while (slots_[i])
            i = next(i);
        slots_[i] = &s;
    }
    void rehash(std::size_t capacity) {
        auto old = std::move(slots_);
        slots_.assign(capacity, nullptr);
        shift_ = 32 - std::countr_zero(static_cast<std::uint32_t>(capacity));
        for (const auto s : old)
            if (s) place(*s);
    }

    std::vector<stream*> slots_;
    std::size_t size_ = 0;
    int shift_ = 0;
};

} // namespace muxsocks
