#pragma once

/// \file
/// Big-endian loads and stores, the only place where bytes are shifted. The caller has checked that
/// the memory is there.

#include <cstddef>
#include <cstdint>
#include <span>

namespace muxsocks {

using bytes_view = std::span<const std::uint8_t>;
using bytes_span = std::span<std::uint8_t>;

inline std::uint16_t load_u16(const std::uint8_t* p) {
    return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}

inline std::uint32_t load_u32(const std::uint8_t* p) {
    return std::uint32_t{load_u16(p)} << 16 | load_u16(p + 2);
}

inline std::uint64_t load_u64(const std::uint8_t* p) {
    return std::uint64_t{load_u32(p)} << 32 | load_u32(p + 4);
}

inline void store_u16(std::uint8_t* p, std::uint16_t v) {
    p[0] = static_cast<std::uint8_t>(v >> 8);
    p[1] = static_cast<std::uint8_t>(v);
}

inline void store_u32(std::uint8_t* p, std::uint32_t v) {
    store_u16(p, static_cast<std::uint16_t>(v >> 16));
    store_u16(p + 2, static_cast<std::uint16_t>(v));
}

inline void store_u64(std::uint8_t* p, std::uint64_t v) {
    store_u32(p, static_cast<std::uint32_t>(v >> 32));
    store_u32(p + 4, static_cast<std::uint32_t>(v));
}

} // namespace muxsocks
