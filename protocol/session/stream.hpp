#pragma once

/// \file
/// One stream as the session sees it. The session owns it; its owner (a relay) holds the pointer
/// from open() or the `opened` event until it calls session::release(), once.
///
///     local:   idle -- first frame laid --> open -- FIN laid --> half-closed (local)
///     remote:                               open -- all bytes up to FIN --> half-closed (remote)
///     Both halves closed, or RST in either direction: closed; its id is never used again.

#include "protocol/byte_queue.hpp"
#include "protocol/error.hpp"
#include "protocol/flow_control.hpp"
#include "protocol/session/control.hpp"
#include "protocol/session/own_bytes.hpp"
#include "protocol/session/pieces.hpp"
#include "protocol/surge_meter.hpp"

namespace muxsocks {

struct stream {
    stream(std::uint64_t send_limit, const receive_window& window)
        : send(send_limit), recv(window) {}
    stream(std::uint64_t send_limit, std::uint64_t window)
        : stream(send_limit, receive_window(window)) {}

    static constexpr link_number no_link = 0xffff'ffff;
    enum class queue : std::uint8_t { none, fresh, bulk_round, opening, resets, paced_resets };

    // There are thousands of them, idle: what is narrow stands together.
    void* context = nullptr; ///< The owner's; the session never looks at it.
    send_window send;
    receive_window recv;

    // Sending. `own` are bytes of the session's user (request, reply), sent before what is read
    // from the socket.
    own_bytes own;
    std::uint64_t moved_at_look = 0; ///< Bytes either way when bulk_watch last looked.
    reset_code rst_code = reset_code::cancelled;
    std::uint32_t unacked = 0;         ///< Its frames that are kept; copies count.
    link_number first_link = no_link;  ///< Until its request is acknowledged.
    link_number credit_link = no_link; ///< Where its CREDIT went last.
    bool readable = false;             ///< Whether the local socket has bytes (or an end) to read.
    bool fin_wanted = false;           ///< Whether FIN follows what is still to be sent.
    bool fin_sent = false;
    bool rst_wanted = false; ///< Whether RST follows `own`, and nothing else.
    bool own_last = false;   ///< Whether what was laid last were own bytes.
    bool rst_waits = false;  ///< Whether RST waits until own bytes are acknowledged.
    bool bulk = false;       ///< Whether it goes by the link for bulk.
    bool metered = false;    ///< Whether bulk_watch has a meter for it.

    // Receiving.
    byte_queue unread; ///< Older than the views of the current batch.
    pieces beyond;     ///< Behind a gap.
    std::int32_t first_view = -1;
    std::int32_t last_view = -1;
    std::size_t view_bytes = 0;
    std::size_t charged = 0;   ///< To the session's account, for this stream.
    std::uint64_t top = 0;     ///< The highest end of what has come.
    instant moved{};           ///< When a byte was last consumed, or the first of `unread` came.
    bool ends_at_top = false;  ///< Whether a FIN has come: `top` is the final size.
    bool fin_received = false; ///< Whether all bytes up to the peer's FIN have come.
    bool touched = false;      ///< Whether it is in the list of this batch.
    bool announced = false;    ///< Whether this batch has an event for it.
    bool credit_listed = false;
    bool credit_paced = false; ///< Whether it waits to be granted credit at a rate.
    bool grown = false;        ///< Whether the window is above the initial one (and listed).

    // Life.
    bool released = false;     ///< Whether the owner has let go.
    bool dead = false;         ///< Whether it only waits to be deleted.
    bool closed = false;       ///< Whether the id is no longer in the table.
    bool discarding = false;   ///< Whether input is thrown away (after a refusal).
    bool clocked = false;      ///< Whether the time for its end runs.
    bool request_done = false; ///< Whether the owner took the stream up (flood counters).
    bool connected = false;    ///< Whether its connect has succeeded (flood counters).

    // Scheduling.
    queue queued = queue::none;
    bool datagrams_listed = false;   ///< Whether a link's datagram_queue has it.
    bool datagrams = false;          ///< Whether its owner has some to be read.
    std::uint32_t id = 0;            ///< 0 until its first frame is laid.
    link_number queued_at = no_link; ///< In whose link's scheduler, where it is fresh or bulk.
    std::uint32_t round = 0;         ///< The bulk round in which `round_bytes` were sent.
    std::uint32_t round_bytes = 0;   ///< Of DATA, or of an association's datagrams.
    std::uint32_t outside = 0;       ///< Bytes that the kernel holds for it, parked; charged.
    surge_meter surge;               ///< Of its datagrams that are sent.
    stream* next_ready = nullptr;

    // Datagrams of an association (datagrams.hpp).
    std::uint64_t datagrams_out = 0; ///< Bytes of them, and of those received.
    std::uint64_t datagrams_in = 0;

    std::error_code end; ///< Why it was reset or shed; none while open or after two FINs.

    // The list of all streams of the session.
    stream* all_next = nullptr;
    stream* all_previous = nullptr;

    /// Whether the peer's bytes are all consumed and its FIN has come. Never so for a stream that
    /// was reset: bytes may be missing.
    bool at_end() const { return fin_received && !end && unread.empty() && view_bytes == 0; }
    std::size_t unread_bytes() const { return unread.size() + view_bytes; }
    /// All bytes that it has moved, for finding out which streams are bulk.
    std::uint64_t moved_out() const { return send.sent() + datagrams_out; }
    std::uint64_t moved_in() const { return recv.received() + datagrams_in; }
    /// Whether its first frame has been laid.
    bool opened() const { return id != 0; }
};

} // namespace muxsocks
