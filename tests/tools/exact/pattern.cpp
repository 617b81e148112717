#include "tests/tools/exact/pattern.hpp"

#include <cstring>

namespace muxsocks::tools {
namespace {

constexpr std::size_t word_bytes = sizeof(std::uint64_t);

} // namespace

std::uint64_t pattern::word(std::uint64_t index) const {
    std::uint64_t mixed = (key_ + index) * 0x9e3779b97f4a7c15U;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31U);
}

std::byte pattern::byte_at(std::uint64_t offset) const {
    return static_cast<std::byte>(word(offset / word_bytes) >> (offset % word_bytes * 8));
}

void pattern::fill(std::uint64_t offset, std::span<std::byte> out) const {
    std::size_t i = 0;
    for (; i < out.size() && (offset + i) % word_bytes != 0; ++i)
        out[i] = byte_at(offset + i);
    for (; i + word_bytes <= out.size(); i += word_bytes) {
        const std::uint64_t next = word((offset + i) / word_bytes);
        std::memcpy(out.data() + i, &next, word_bytes);
    }
    for (; i < out.size(); ++i)
        out[i] = byte_at(offset + i);
}

std::optional<std::size_t> pattern::first_difference(std::uint64_t offset,
                                                     std::span<const std::byte> bytes) const {
    std::size_t i = 0;
    while (i < bytes.size()) {
        if ((offset + i) % word_bytes == 0 && i + word_bytes <= bytes.size()) {
            std::uint64_t found = 0;
            std::memcpy(&found, bytes.data() + i, word_bytes);
            if (found == word((offset + i) / word_bytes)) {
                i += word_bytes;
                continue;
            }
        }
        if (bytes[i] != byte_at(offset + i)) return i;
        ++i;
    }
    return std::nullopt;
}

} // namespace muxsocks::tools
