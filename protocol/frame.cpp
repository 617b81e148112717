#include "protocol/frame.hpp"

#include "protocol/error.hpp"

namespace muxsocks {

std::error_code check_header(const frame_header& header, unsigned version) {
    const bool session_level = header.stream_id == 0;
    switch (header.flags) {
    case flag::data:
    case flag::fin:
    case flag::data | flag::fin:
        return session_level ? errc::frame_on_stream_zero : std::error_code{};
    case flag::syn:
        if (session_level) return errc::frame_on_stream_zero;
        return version >= 2 && header.length != 0 ? errc::bad_frame_length : std::error_code{};
    case flag::rst:
        if (version < 2) return {};
        if (session_level) return errc::frame_on_stream_zero;
        return header.length != 4 ? errc::bad_frame_length : std::error_code{};
    case flag::ping:
    case flag::pong:
        if (!session_level) return errc::ping_on_stream;
        return version >= 2 && header.length != 8 ? errc::bad_frame_length : std::error_code{};
    case flag::ctrl:
        if (version < 2) return errc::illegal_flags;
        return header.length == 0 ? errc::bad_frame_length : std::error_code{};
    default:
        return errc::illegal_flags;
    }
}

} // namespace muxsocks
