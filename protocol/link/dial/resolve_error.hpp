#pragma once

/// \file
/// Why a name has no address.

#include <system_error>

namespace muxsocks {

/// All of them compare equal to std::errc::host_unreachable, timed_out to std::errc::timed_out.
enum class resolve_errc {
    bad_name = 1, ///< The text can be no host's name; nobody was asked.
    not_found,    ///< The name does not exist (NXDOMAIN).
    no_address,   ///< The name exists but has neither an IPv4 nor an IPv6 address.
    /// No DNS server could be reached, or all answered with an error such as SERVFAIL or REFUSED.
    /// (c-ares 1.18 does not tell these apart.)
    server_failure,
    timed_out, ///< No DNS server answered in time.
};

/// The category "muxsocks.resolve"; its messages are full sentences.
const std::error_category& resolve_category() noexcept;
inline std::error_code make_error_code(resolve_errc code) noexcept {
    return {static_cast<int>(code), resolve_category()};
}

} // namespace muxsocks

template <>
struct std::is_error_code_enum<muxsocks::resolve_errc> : std::true_type {};
