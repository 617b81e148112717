#include "protocol/session/frame_rules.hpp"

#include "protocol/error.hpp"

namespace muxsocks {

std::error_code check_header(const frame_header& header) {
    switch (header.flags) {
    case flag::data:
    case flag::fin:
    case flag::data | flag::fin:
    case flag::syn | flag::data:
    case flag::syn | flag::data | flag::fin:
        if (header.stream_id == 0) return errc::frame_on_stream_zero;
        return header.length < offset_size ? errc::bad_frame_length : std::error_code{};
    case flag::syn:
        return errc::illegal_flags;
    default:
        return check_header(header, 2);
    }
}

} // namespace muxsocks
