#pragma once

/// \file
/// How a turn asks for bytes: where one read of a stream's socket puts them, and what came of it.

#include "protocol/byte_order.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace muxsocks {

struct stream;

/// Where the bytes of one read of a stream's socket go: straight behind the room for the headers.
struct read_slot {
    static constexpr std::size_t places_max = 8;
    stream* subject = nullptr;
    std::array<bytes_span, places_max> places;
    std::size_t count = 0; ///< Places used; fill them in order.
    std::size_t size = 0;  ///< Bytes of all places together.
};

enum class read_outcome : std::uint8_t {
    more,    ///< The socket may have more now.
    drained, ///< Nothing more for now: the owner waits and calls on_readable() again.
    end,     ///< End of file, after the bytes of this read.
};

} // namespace muxsocks
