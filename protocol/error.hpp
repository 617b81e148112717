#pragma once

/// \file
/// Why a session or a stream ends, as std::error_code of one category with full sentences.

#include <cstdint>
#include <string>
#include <system_error>

namespace muxsocks {

/// Faults of the protocol. Source: docs/PROTOCOL.md, "Errors".
enum class errc {
    // The peer broke the rules of frames.
    illegal_flags = 1,
    frame_on_stream_zero,
    ping_on_stream,
    bad_frame_length,
    frame_before_syn,
    bad_stream_id,
    bad_control_frame,
    unknown_control_frame,
    control_out_of_order,
    credit_too_large,
    ack_beyond_sent,
    bad_offset,
    bad_syn,
    too_many_ids,
    bad_drop,
    // The handshake failed.
    version_mismatch,
    binding_mismatch,
    bad_server_proof,
    authentication_failed,
    v1_refused,
    handshake_timeout,
    // Limits.
    flood_of_resets,
    flood_of_empty_frames,
    flood_of_credits,
    flood_of_pings,
    flood_of_extensions,
    flood_of_refusals,
    frame_timeout,
    // How a session ends otherwise.
    keepalive_timeout,
    link_lost,
    link_given_up,
    link_replaced,
    bad_join_answer,
    closed_by_peer,
    closed_locally,
    resume_refused,
    ids_exhausted,
    going_away,
    drain_timeout,
    acks_withheld,
    // How a stream ends.
    stream_reset_by_peer,
    stream_refused,
    stream_cancelled,
    stream_flow_control,
    stream_shed,
    stream_internal,
    stream_denied,
    stream_timeout,
    // What a server says in words only.
    user_expired,
};

const std::error_category& protocol_category();

inline std::error_code make_error_code(errc e) {
    return {static_cast<int>(e), protocol_category()};
}

/// The code in an RST frame. Source: docs/PROTOCOL.md, "RST".
enum class reset_code : std::uint32_t {
    refused = 1,      ///< Not taken up, nothing was done: safe to open again elsewhere.
    cancelled = 2,    ///< The application or the target reset its connection.
    flow_control = 3, ///< DATA beyond the credit.
    internal = 4,     ///< A failure of the sender's own.
    shed = 5,         ///< Ended to stay within the memory limit.
    denied = 6,       ///< By a rule.
};

/// The code in CLOSE and GOAWAY. Source: docs/PROTOCOL.md, "CLOSE".
enum class close_code : std::uint8_t {
    normal = 0,
    protocol_error = 1,
    flood = 2,
    shutting_down = 3,
    user_removed = 4,
    internal = 5,
    limit = 6,
};

/// The error that a stream ends with when its peer has sent RST with the code.
std::error_code error_of(reset_code code);

} // namespace muxsocks

template <>
struct std::is_error_code_enum<muxsocks::errc> : std::true_type {};
