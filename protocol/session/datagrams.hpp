#pragma once

/// \file
/// The datagrams of a session (docs/PROTOCOL.md, "Datagrams"): pulled from their owners when their
/// turn on a link has come, laid in turns of their own, never kept and never sent again. Received
/// ones are views that last as long as the batch. What is in the payload behind the type byte (an
/// address, then the datagram) is its owners' business.
///
/// A stream whose owner has datagrams is flagged, and listed at the link that its small frames go
/// by (or its bulk, once it has sent much). Without a link it waits there, and nothing is read.

#include "protocol/frame.hpp"
#include "protocol/session/event.hpp"

#include <optional>
#include <vector>

namespace muxsocks {

class session;
struct link_state;

/// Where one datagram is to be put: its address and its bytes, which must all fit.
struct datagram_slot {
    stream* subject = nullptr;
    bytes_span place;
};

class datagrams {
  public:
    explicit datagrams(session& of) : session_(of) {}

    /// Whether both sides have agreed on them.
    bool agreed() const;
    /// The stream's owner has some to be read: its turn will come by next().
    void on_readable(stream& s);
    /// Within a turn: who is to be read. Empty: nobody more in this turn.
    std::optional<datagram_slot> next();
    /// `bytes` of the place were filled, 0 for no datagram; `more`: whether there may be others.
    void on_read(const datagram_slot& slot, std::size_t bytes, bool more);
    /// What an event of kind `datagram` brought; until the batch ends, and empty from then on.
    bytes_view received(const event& of) const;

  private:
    friend class session;
    /// The longest frame: what a turn must have room for before it asks for one.
    static constexpr std::size_t frame_max = frame_header_size + frame_payload_limit;

    bool has_turn(const link_state& l) const;
    /// The listed stream of that id, if its turn is still of use.
    stream* find(std::uint32_t id) const;
    /// Whether the turn that begins is one of datagrams; if so it is laid by next().
    bool begin_turn(link_state& l, std::size_t size);
    void list(stream& s);
    void on_frame(std::uint32_t id, bytes_view payload);
    void end_batch() { received_.clear(); }

    session& session_;
    std::vector<bytes_view> received_;
    std::size_t turn_end_ = 0; ///< The turn ends once that much is laid.
};

} // namespace muxsocks
