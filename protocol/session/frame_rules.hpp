#pragma once

/// \file
/// Which frames a session over several links knows: DATA and FIN say where their bytes belong, SYN
/// stands on the opener's first frame, and some frames are kept until they are acknowledged.
///
///      0               4       5        7                15
///     +---------------+-------+--------+----------------+----------- - -
///     | stream id u32 | flags | length | offset u64     | bytes        DATA, FIN
///     +---------------+-------+--------+----------------+----------- - -

#include "protocol/frame.hpp"
#include "protocol/session/control.hpp"

namespace muxsocks {

inline constexpr std::size_t offset_size = 8;
/// What stands in front of a stream's bytes in version 2.
inline constexpr std::size_t data_header_size = frame_header_size + offset_size;
inline constexpr std::uint64_t offset_max = std::uint64_t{1} << 62;

/// Whether a peer may send the header, whatever the state. Returns the fault to close the session
/// with, or no error.
std::error_code check_header(const frame_header& header);

/// Whether the frame carries bytes or the end of a stream.
inline bool is_data(std::uint8_t flags) { return (flags & (flag::data | flag::fin)) != 0; }

/// Whether the whole frame is kept until it is acknowledged: DATA, FIN, RST, GOAWAY and DROP.
inline bool is_kept(const std::uint8_t* frame) {
    const auto flags = frame[4];
    if (flags != flag::ctrl) return (flags & (flag::syn | flag::data | flag::fin | flag::rst)) != 0;
    const auto type = static_cast<control_type>(frame[frame_header_size]);
    return type == control_type::goaway || type == control_type::drop;
}

} // namespace muxsocks
