#pragma once

/// \file
/// Why a connection could not be made, as far as the system has no errno for it.

#include <system_error>

namespace muxsocks {

enum class connect_errc {
    /// The time-out of the whole dial was over. Compares equal to std::errc::timed_out.
    timed_out = 1,
    /// A router on the way sent ICMP "time exceeded" (connect() says EHOSTUNREACH). Compares equal
    /// to std::errc::host_unreachable.
    ttl_expired,
};

/// The category "muxsocks.connect"; its messages are full sentences.
const std::error_category& connect_category() noexcept;
inline std::error_code make_error_code(connect_errc code) noexcept {
    return {static_cast<int>(code), connect_category()};
}

} // namespace muxsocks

template <>
struct std::is_error_code_enum<muxsocks::connect_errc> : std::true_type {};
