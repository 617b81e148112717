#pragma once

/// \file
/// A client's and a server's session that hand each other their turns, for micro-benchmarks: no
/// pipe, no copy, no socket and no cipher, so that what is left is the core's own work. The time
/// stands still unless it is moved.

#include "protocol/session/session.hpp"

#include <vector>

namespace muxsocks::micro {

/// VER, CMD, RSV, ATYP, DST.ADDR, DST.PORT: what a stream begins with.
inline constexpr std::size_t request_size = 10;

class session_pair {
  public:
    /// Both are established; `streams_max` may be open.
    explicit session_pair(std::uint32_t streams_max = 16'384);

    instant now{std::chrono::hours(1)};
    chunk_pool client_pool;
    chunk_pool server_pool;
    session client;
    session server;
    std::vector<stream*> opened; ///< At the server, in the order of their begin.

    /// Opens streams, whose requests the server takes; returns them as the client sees them.
    std::vector<stream*> open(std::size_t count);
    /// Lets both speak until neither has anything to say. Streams are not read from.
    void exchange();
    /// Kept frames that the client has laid in exchange().
    std::uint64_t client_frames() const { return client_frames_; }

  private:
    std::uint64_t client_frames_ = 0;
};

/// Hands out the events of received bytes, and consumes what became readable; `on_opened(stream&)`
/// takes up new streams.
template <typename Opened>
void take_events(session& to, instant now, Opened on_opened) {
    std::array<bytes_view, 16> views;
    while (const auto what = to.next_event()) {
        if (what->type == event::kind::opened) on_opened(*what->subject);
        if (what->type != event::kind::readable) continue;
        auto& s = *what->subject;
        while (const auto used = to.peek(s, views)) {
            std::size_t bytes = 0;
            for (const auto view : std::span(views).first(used))
                bytes += view.size();
            to.consume(s, bytes, now);
        }
    }
    to.end_batch();
}
inline void take_events(session& to, instant now) {
    take_events(to, now, [](stream&) {});
}

/// One turn; `read(slot)` answers each slot with on_read().
template <typename Read>
bytes_view lay_turn(session& from, instant now, chunk_ref& keep, Read read) {
    from.begin_turn(0, now);
    while (const auto slot = from.next_read())
        read(*slot);
    return from.end_turn(keep);
}

} // namespace muxsocks::micro
