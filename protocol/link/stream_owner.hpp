#pragma once

/// \file
/// Who serves a stream of a session_driver: stream::context points to one of these from open() or
/// the first sight of the stream until session::release(). All calls come from the thread of the
/// session.

#include "protocol/session/session.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace muxsocks {

/// What is shown of a stream. Up is from the local socket into the stream.
struct shown_stream {
    std::uint64_t bytes_up = 0;
    std::uint64_t bytes_down = 0;
    std::chrono::steady_clock::time_point began{};
    /// Empty unless the log may name it.
    std::string destination{};
};

class stream_owner {
  public:
    struct read_result {
        std::size_t bytes = 0;
        read_outcome outcome = read_outcome::drained;
        bool failed = false; ///< The socket is broken: on_read_failed() follows.
    };

    /// Unread bytes or the end of the stream have come: session::peek, consume, stream::at_end.
    virtual void on_stream_readable() = 0;
    /// The stream has ended by RST or with its session; release it.
    virtual void on_stream_reset(std::error_code why) = 0;
    /// It is the stream's turn: read from the socket into the slot's places.
    virtual read_result read_for_turn(const read_slot& slot) = 0;
    virtual void on_read_failed() = 0;
    struct datagram_result {
        std::size_t bytes = 0; ///< Of the place, address included; 0: none was worth sending.
        bool more = false;     ///< Whether there may be others now.
    };
    /// The turn of its datagrams has come (datagrams::on_readable): puts one into the place.
    virtual datagram_result read_datagram(bytes_span) { return {}; }
    /// One has come: an address, then its bytes. Returns whether on_datagrams_over() is wanted:
    /// until then the bytes stay where they are, so that several are sent together.
    virtual bool on_datagram(bytes_view) { return false; }
    /// For now there are no more.
    virtual void on_datagrams_over() {}
    /// The stream is not read for a while (no credit, no link): watch the socket for errors.
    virtual void on_parked() = 0;
    /// The session is about to go on in another process: adds what this owner needs there, and the
    /// sockets that go along; nothing of either if it stays here. Nothing changes yet.
    virtual void save(std::vector<std::uint8_t>&, std::vector<int>&) {}
    /// It has gone there: all that is left here is let go of, without a word to anyone.
    virtual void on_handed_over() {}
    /// A client's: the server tells why it is about to refuse the stream. As it came.
    virtual void on_notice(const notice_frame&) {}
    /// A reload has changed how long a stream may be idle.
    virtual void on_timeouts_changed() {}
    /// For who shows streams.
    virtual void describe(shown_stream&) const {}

  protected:
    ~stream_owner() = default;
};

} // namespace muxsocks
