#pragma once

/// \file
/// Why links and streams end, in a few words that the log, the metrics and the status share: each
/// error that one can end with belongs to one of them. docs/STATUS.md lists them.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

namespace muxsocks {

enum class link_end : std::uint8_t {
    eof,       ///< End of file without a word.
    reset,     ///< The network or the peer reset the connection.
    timeout,   ///< TCP gave up, or the peer did not finish a handshake or frame in time.
    keepalive, ///< Nothing was heard for the keepalive's time.
    tls,       ///< A breach of TLS, or a certificate or pin that is not good.
    closed,    ///< In good order, by either side; also one that another link has replaced.
    other,
};
inline constexpr std::size_t link_ends = 7;

enum class stream_end : std::uint8_t {
    fin,     ///< Both directions finished.
    reset,   ///< By the peer: its connection was reset, or what it asked for given up.
    local,   ///< Our connection was reset or broke.
    timeout, ///< timeouts.idle or timeouts.half_closed.
    shed,    ///< To stay within a bound of memory.
    denied,  ///< By a rule.
    refused, ///< Not taken up by the server.
    flow,    ///< The peer sent beyond its credit.
    session, ///< With its session.
    other,
};
inline constexpr std::size_t stream_ends = 10;

/// By what a server refuses a target.
enum class denied_by : std::uint8_t {
    deny,       ///< `destinations.deny`.
    port,       ///< `destinations.ports`, or port 25.
    user,       ///< `deny` or `ports` of the user's own `destinations`.
    not_public, ///< An address that is not public (`allow_private`, `allow`).
    own,        ///< An address of the server itself.
};
inline constexpr std::size_t denied_rules = 5;

link_end link_end_of(std::error_code why) noexcept;
stream_end stream_end_of(std::error_code why) noexcept;

std::string_view to_string(link_end end) noexcept;
std::string_view to_string(stream_end end) noexcept;
std::string_view to_string(denied_by rule) noexcept;

} // namespace muxsocks
