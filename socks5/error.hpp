#pragma once

/// \file
/// What can be wrong with a SOCKS5 conversation, as std::error_code. Every code has a full sentence
/// that names the cause and, where an operator can do something, the cure. What a target or the
/// network answers is not here but in reply_code.hpp.

#include <system_error>
#include <type_traits>

namespace muxsocks::socks5 {

enum class errc {
    // The first bytes are no SOCKS5 greeting.
    socks4_request = 1,
    http_request,
    tls_client_hello,
    not_socks5,
    // Method negotiation (RFC 1928 section 3) and username/password (RFC 1929).
    password_required,
    no_acceptable_method,
    password_version,
    password_rejected,
    credential_length,
    // Requests and replies (RFC 1928 sections 4 to 6).
    request_version,
    command_not_supported,
    address_type_not_supported,
    empty_domain,
    invalid_domain,
    reply_version,
    /// For resolvers: the name in DST.ADDR has no address. Answered with REP 0x04.
    name_not_resolved,
};

/// The category "socks5".
const std::error_category& socks5_category() noexcept;

std::error_code make_error_code(errc code) noexcept;

} // namespace muxsocks::socks5

template <>
struct std::is_error_code_enum<muxsocks::socks5::errc> : std::true_type {};
