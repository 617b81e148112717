#pragma once

/// \file
/// What of a session outlives its process: a value, and its bytes. It is taken between two turns as
/// if every link had just been lost, so that whoever takes it over waits for the peer to join.
///
///     "muxsocks state\0\0" | format u16 | side u8
///     length u32 | type u8 | fields        records, see encode(); length is of type and fields
///     ...
///     33 u32 | end u8 | SHA-256 of all in front of this record
///
/// All big-endian. The bytes hold the session's secret: they go from process to process, never to a
/// disk. Every format that was released is read for ever; tests/vectors has one state of each.

#include "protocol/session/handshake.hpp"

#include <system_error>

namespace muxsocks {

/// One stream. Those that are closed, and whose owner has not let go, are among them.
struct stream_state {
    /// What end::code says besides the codes of RST.
    static constexpr std::uint8_t end_none = 0;
    static constexpr std::uint8_t end_going_away = 0x80;
    static constexpr std::uint8_t end_timeout = 0x81;
    static constexpr std::uint8_t end_other = 0xff;

    std::uint32_t id = 0; ///< 0 until its first frame was laid.
    bool fin_wanted = false;
    bool fin_sent = false;
    bool rst_wanted = false;
    bool rst_waits = false;
    bool own_last = false;
    bool bulk = false;
    bool fin_received = false;
    bool owned = false; ///< Whether it has an owner, who goes with it.
    bool closed = false;
    bool discarding = false;
    bool request_done = false;
    bool connected = false;
    bool credited = false; ///< Whether CREDIT has gone out, maybe by a link that is lost now.
    std::uint32_t rst_code = 0;
    std::uint8_t end = end_none;

    std::uint64_t sent = 0;
    std::uint64_t limit = 0;
    std::uint64_t received = 0;
    std::uint64_t consumed = 0;
    std::uint64_t announced = 0;
    std::uint64_t window = 0;
    std::uint64_t top = 0;
    std::optional<std::uint64_t> final_size;
    /// While it runs: what is left of the time that the peer of a refused stream has to end it.
    std::optional<std::uint32_t> due_ms;

    std::vector<std::uint8_t> own;
    std::vector<std::uint8_t> unread;
    struct piece {
        std::uint64_t offset = 0;
        std::vector<std::uint8_t> bytes;
    };
    std::vector<piece> beyond;
    std::vector<std::uint8_t> owner; ///< The owner's own; the session never looks at it.
};

struct session_state {
    static constexpr std::uint16_t format = 1;

    role side = role::client;
    session_id id{};
    digest secret{};

    // What HELLO and AUTH have settled.
    bool binds = true; ///< Whether proofs are bound to the TLS channel.
    std::uint32_t own_window = 0;
    std::uint32_t own_max_streams = 0;
    agreement agreed;

    // Links.
    link_number next_link = 1; ///< Client.
    link_number highest_link = 0;
    std::uint64_t used_links = 0;
    std::vector<drop_frame> drops;

    // Streams' ids.
    std::uint32_t next_id = 1;
    std::uint32_t highest_id = 0;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> missing; ///< First and last of each run.
    std::vector<std::uint32_t> refusals;                          ///< RST(refused) is to be said.

    std::optional<goaway_frame> goaway; ///< As sent, or to be sent; a client's: as received.
    bool goaway_due = false;
    bool goaway_received = false;
    std::string peer_text;

    std::vector<std::uint32_t> flood_levels; ///< Tokens, in the order of flood_guard.
    std::vector<std::uint64_t> counted;      ///< session_statistics, in their order.

    /// Whole frames that the peer has not acknowledged, in the order in which a lost link had them:
    /// its DROP may say yet that some have come. Copies name no link.
    struct kept_run {
        static constexpr link_number no_link = 0xffff'ffff;
        link_number link = no_link;
        std::uint64_t first = 0; ///< Its number on that link.
        std::vector<std::uint8_t> frames;
    };
    std::vector<kept_run> kept;
    std::vector<stream_state> streams;
    std::vector<std::uint8_t> owner; ///< Of the session's owner.
};

/// Why bytes are no state of a session that can be taken over.
enum class state_errc {
    not_a_state = 1,
    other_format,
    cut_off,
    changed,
    impossible,
};
const std::error_category& state_category();
inline std::error_code make_error_code(state_errc e) {
    return {static_cast<int>(e), state_category()};
}

/// With what a session goes on from the state: what the peer was told holds.
session_settings settings_for(session_settings now, const session_state& state);

std::vector<std::uint8_t> encode(const session_state& state, const crypto_functions& crypto);
/// Looks at everything that a session relies on; what comes back can be restored. `why` tells why
/// nothing does.
std::optional<session_state> decode_state(bytes_view bytes, const crypto_functions& crypto,
                                          std::error_code& why);
/// Whether a session could be in this state. decode_state() has asked.
bool is_possible(const session_state& state);

} // namespace muxsocks

template <>
struct std::is_error_code_enum<muxsocks::state_errc> : std::true_type {};
