#pragma once

/// \file
/// The frame header: what it looks like and which headers are legal (docs/PROTOCOL.md, "Frames").
///
///      0               4       5        7
///     +---------------+-------+--------+----------------- - -
///     | stream id u32 | flags | length | payload (length bytes)
///     +---------------+-------+--------+----------------- - -
///
/// All big-endian. What the payload means is for control.hpp and session.hpp.

#include "protocol/byte_order.hpp"

#include <system_error>

namespace muxsocks {

inline constexpr std::size_t frame_header_size = 7;
inline constexpr std::size_t frame_payload_limit = 65'535;
/// Frame and header fill exactly one TLS record of 16,384 bytes.
inline constexpr std::size_t frame_payload_default = 16'377;

namespace flag {
inline constexpr std::uint8_t syn = 0x01;
inline constexpr std::uint8_t fin = 0x02;
inline constexpr std::uint8_t data = 0x04;
inline constexpr std::uint8_t ping = 0x08;
inline constexpr std::uint8_t pong = 0x10;
inline constexpr std::uint8_t rst = 0x20;
inline constexpr std::uint8_t ctrl = 0x40;
} // namespace flag

struct frame_header {
    std::uint32_t stream_id = 0;
    std::uint8_t flags = 0;
    std::uint16_t length = 0;

    friend bool operator==(const frame_header&, const frame_header&) = default;
};

inline void encode_header(std::uint8_t* at, const frame_header& header) {
    store_u32(at, header.stream_id);
    at[4] = header.flags;
    store_u16(at + 5, header.length);
}

inline frame_header decode_header(const std::uint8_t* at) {
    return {load_u32(at), at[4], load_u16(at + 5)};
}

/// Whether a peer of the version (1 or 2) may send the header, whatever the state: legal flags,
/// stream 0 only for PING, PONG and CTRL, lengths that fit the type. Returns the fault to close the
/// session with, or no error.
std::error_code check_header(const frame_header& header, unsigned version);

} // namespace muxsocks
