#pragma once

/// \file
/// A connection of an application without a stream, which may go to another process: one whose
/// request is still to come, or waits, or that goes direct. Those with a stream go with their
/// session.

#include "protocol/byte_order.hpp"

#include <boost/intrusive/list.hpp>

#include <cstdint>
#include <vector>

namespace muxsocks::client {

/// What the state of such a connection begins with.
enum class movable_kind : std::uint8_t {
    accepted = 1, ///< Its request is still to come.
    connect = 2,
    associate = 3,
    forward = 4,        ///< Between two requests, or waiting for a stream.
    forward_direct = 5, ///< With a connection to its server, the second socket.
    direct = 6,         ///< The same of any other one.
    udp_tunnel = 7,
};

/// And what that of a stream's owner begins with.
enum class stream_kind : std::uint8_t {
    opening = 1, ///< It waits for the server's reply.
    open = 2,
    forward = 3,
    associate = 4, ///< With its connection and a UDP socket.
    udp_tunnel = 5,
};
/// How many sockets go with a stream whose owner has saved this.
inline std::size_t sockets_of(bytes_view state) {
    if (state.empty()) return 0;
    return state[0] == static_cast<std::uint8_t>(stream_kind::associate) ? 2 : 1;
}

class movable {
  public:
    /// Adds what the connection needs there, and its sockets, the application's first. False if it
    /// stays here. Nothing changes.
    virtual bool save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) = 0;
    /// It has gone: its sockets are let go of.
    virtual void on_connection_gone() = 0;

  protected:
    ~movable() = default;
};

/// One that belongs to nobody but itself, and is found in its worker's list while it lives.
class listed_movable
    : public movable,
      public boost::intrusive::list_base_hook<
          boost::intrusive::link_mode<boost::intrusive::link_mode_type::auto_unlink>> {
  protected:
    ~listed_movable() = default;
};
using movable_list =
    boost::intrusive::list<listed_movable, boost::intrusive::constant_time_size<false>>;

} // namespace muxsocks::client
