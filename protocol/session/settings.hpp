#pragma once

/// \file
/// What a session is made with.

#include "protocol/flood_guard.hpp"
#include "protocol/keepalive.hpp"
#include "protocol/session/kept_frames.hpp"

#include <functional>
#include <limits>
#include <optional>
#include <string>

namespace muxsocks {

enum class role : std::uint8_t { client, server };

/// What the server knows of a user who may come in.
struct user_access {
    digest key{};                  ///< SHA-256 of the token.
    std::uint32_t max_streams = 0; ///< 0: the session's own limit.
};

/// Test only: rules of the protocol that a session can be made to break, each of which a test must
/// find.
enum class broken_rule : std::uint8_t {
    none,
    lost_frames_forgotten, ///< What a lost link had is not sent again.
    credit_not_said_again, ///< Nor what it carried of CREDIT.
    fin_closes_early,      ///< FIN ends a stream though bytes in front of it are missing.
    pieces_dropped,        ///< What lies beyond a gap is dropped, though counted.
    overlaps_doubled,      ///< Bytes below what was received are taken again.
    ignored_not_counted,   ///< ACK leaves out what was ignored.
    ack_by_other_link,     ///< ACK goes by whichever link comes first.
    copies_not_counted,    ///< A frame that goes by two links counts on one.
    ids_left_out,          ///< An opener leaves ids out.
    missing_ids_closed,    ///< Ids below the highest count as closed.
    closed_ids_answered,   ///< A frame on a closed stream ends the session.
    place_freed_early,     ///< A stream gives its place back before all is acknowledged.
    ended_early,           ///< A session counts as done before all is acknowledged.
    rst_overtakes_words,   ///< RST does not wait for what was to arrive in front of it.
    goaway_not_kept,       ///< GOAWAY is lost with its link.
    drop_without_count,    ///< DROP acknowledges a frame more than it says.
    link_number_reused,    ///< A client joins with a number that it has used.
    close_by_one_link,     ///< CLOSE goes by one link only.
};

struct session_settings {
    role side = role::client;
    crypto_functions crypto;
    chunk_pool* pool = nullptr;      ///< Must be set; outlives the session.
    memory_budget* budget = nullptr; ///< Of the process; null: none.
    /// Called whenever a turn may be wanted that was not before, an event may be there, or the
    /// deadline may be nearer; often in vain. It must not call the session.
    std::function<void()> wake;

    std::uint32_t initial_window = 256 * 1024; ///< No more than stream_window_max is used of it.
    /// What a stream may carry before any CREDIT, as HELLO tells: no more than initial_window.
    std::uint32_t unasked_window = std::numeric_limits<std::uint32_t>::max();
    std::uint64_t stream_window_max = 64 * 1024 * 1024;
    std::size_t session_memory = 256 * 1024 * 1024;
    std::uint32_t max_streams = 16'384; ///< Server: announced in HELLO.
    std::uint8_t max_links = 1;         ///< Links of the session at once; the lesser of both holds.
    std::string join_at;                ///< Server: where its clients dial to join.
    std::size_t frame_payload = frame_payload_default; ///< Offsets included.
    keepalive_timing keepalive;
    kept_limits kept;
    flood_limits flood;
    bool resume = true;
    std::uint32_t resume_timeout_ms = 120'000; ///< Server: how long it keeps a detached session.
    bool datagrams = false;                    ///< HELLO feature bit 2: UDP associations.
    bool channel_binding = true; ///< HELLO feature bit 0; must be equal on both sides.
    bool allow_v1 = false;
    /// Server: the link has begun with a JOIN that failed, which no version 1 client sends.
    bool first_frame_seen = false;
    duration handshake_timeout = std::chrono::seconds(5); ///< For HELLO, and again for AUTH.
    duration frame_timeout = std::chrono::seconds(30);    ///< From a frame's begin to its end.
    duration discard_timeout = std::chrono::seconds(10);  ///< After a refusal, for FIN or RST.

    // Client.
    std::string user;
    std::optional<digest> key; ///< SHA-256 of the token; none: method 0.

    // Server: the user's key and limits, or nothing for an unknown user. Method 0 asks for "".
    std::function<std::optional<user_access>(std::string_view user)> find_user;

    broken_rule broken = broken_rule::none;
    bool overlapping = false; ///< Test only: some bytes go out twice, in other frames.
};

} // namespace muxsocks
