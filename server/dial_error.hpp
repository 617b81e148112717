#pragma once

/// \file
/// Why the server itself did not dial a target.

#include <system_error>

namespace muxsocks::server {

enum class dial_errc {
    /// The rules for destinations forbid every address of the target. Compares equal to
    /// std::errc::operation_not_permitted.
    denied = 1,
    /// No place for a connect or a lookup was its user's until this one's time was over.
    /// Compares equal to std::errc::resource_unavailable_try_again.
    waited_too_long,
};

/// The category "muxsocks.dial"; its messages are full sentences.
const std::error_category& dial_category() noexcept;
inline std::error_code make_error_code(dial_errc code) noexcept {
    return {static_cast<int>(code), dial_category()};
}

} // namespace muxsocks::server

template <>
struct std::is_error_code_enum<muxsocks::server::dial_errc> : std::true_type {};
