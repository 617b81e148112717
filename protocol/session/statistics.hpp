#pragma once

/// \file
/// What a session has counted in its life, for logs, status and tests.

#include <cstdint>

namespace muxsocks {

struct session_statistics {
    std::uint64_t streams_opened = 0;
    std::uint64_t bytes_sent = 0;     ///< Of streams, each once.
    std::uint64_t bytes_received = 0; ///< Of streams, each once.
    std::uint64_t datagrams_sent = 0;
    std::uint64_t datagrams_received = 0;
    std::uint64_t datagram_bytes_sent = 0; ///< Addresses included.
    std::uint64_t datagram_bytes_received = 0;
    std::uint64_t datagrams_ignored = 0; ///< For streams that have no use for them, or too many.
    std::uint64_t half_closes = 0;       ///< FIN received while our direction was open.
    std::uint64_t resets_sent = 0;
    std::uint64_t resets_received = 0;
    std::uint64_t windows_dry = 0; ///< Times a stream stopped for want of credit.
    std::uint64_t windows_grown = 0;
    std::uint64_t shed = 0;
    std::uint64_t refused = 0;
    std::uint64_t kept_full = 0;  ///< Times a link stopped because it keeps all that it may.
    std::uint64_t sent_again = 0; ///< Frames that a lost or doubted link had.
    std::uint64_t sent_twice = 0; ///< Small frames that went by two links at once.
    std::uint64_t repeated = 0;   ///< Received bytes that were known.
    std::uint64_t pieces = 0;     ///< Frames that came beyond a gap.
    std::uint64_t ids_missing = 0;
    std::uint64_t links = 0; ///< That were up.
    std::uint64_t links_lost = 0;
    std::uint64_t links_doubted = 0;
    std::uint64_t links_dropped_by_peer = 0;
    std::uint64_t detached = 0;        ///< Times without a link.
    std::uint64_t frames_acked = 0;    ///< Kept frames that the peer has processed.
    std::uint64_t frames_received = 0; ///< Kept frames of the peer's, repeated ones included.
};

} // namespace muxsocks
