#pragma once

/// \file
/// REP: its values with the RFC's texts (RFC 1928 section 6), and the one table from an error to a
/// REP. A reply_code is also an std::error_code, so that what a server answered can be handed on as
/// one.

#include <cstdint>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace muxsocks::socks5 {

enum class reply_code : std::uint8_t {
    succeeded = 0x00,
    general_failure = 0x01,
    not_allowed = 0x02,
    network_unreachable = 0x03,
    host_unreachable = 0x04,
    connection_refused = 0x05,
    ttl_expired = 0x06,
    command_not_supported = 0x07,
    address_type_not_supported = 0x08,
};

/// The RFC's words, such as "connection refused"; "unassigned" from 0x09.
std::string_view to_text(reply_code code);

/// The REP that tells the truth about `error`:
///
///     no error                                      00
///     EACCES, EPERM (denied by a rule)              02
///     ENETUNREACH, ENETDOWN                         03
///     EHOSTUNREACH, EHOSTDOWN, ETIMEDOUT            04
///     errc::name_not_resolved                       04
///     ECONNREFUSED                                  05
///     errc::command_not_supported                   07
///     errc::address_type_not_supported, EAFNOSUPPORT 08
///     a reply_code                                  itself, for example ttl_expired (06), which a
///                                                   dialer knows from ICMP and not from connect()
///     anything else (EMFILE, ...)                   01
///
/// The E... may be of the generic or the system category (Boost's convert to these), or of any
/// category whose default_error_condition is generic.
reply_code reply_code_from(const std::error_code& error);

/// The same for an errno of Linux.
reply_code reply_code_from_errno(int error);

/// The category "socks5.reply"; its messages are full sentences.
const std::error_category& reply_category() noexcept;

/// reply_code::succeeded becomes "no error".
std::error_code make_error_code(reply_code code) noexcept;

} // namespace muxsocks::socks5

template <>
struct std::is_error_code_enum<muxsocks::socks5::reply_code> : std::true_type {};
