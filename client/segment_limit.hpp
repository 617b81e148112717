#pragma once

/// \file
/// How large the TCP segments of the next link may be. Where a path swallows packets above some
/// size and no ICMP says so (a black hole), TCP sends the same large segment for ever; a link that
/// was told a smaller maximum before it connected (TCP_MAXSEG) gets through, both ways, since the
/// peer keeps to it, too.
///
///     none --> 1,220 bytes (fits into IPv6's least MTU, 1,280) --> 536 (into IPv4's, 576)
///
/// What was found out is forgotten after an hour, longer each time that it is found again, and with
/// the route. Free of I/O.

#include "protocol/flow_control.hpp"

#include <array>
#include <optional>

namespace muxsocks::client {

class segment_limit {
  public:
    static constexpr std::array<std::uint32_t, 3> steps{0, 1220, 536};
    static constexpr duration hold_first = std::chrono::hours(1);
    static constexpr duration hold_max = std::chrono::hours(24);

    /// A link is dialled: with segments of how many bytes at most? 0: no limit.
    std::uint32_t at_dial(instant now);
    std::uint32_t bytes() const { return steps[step_]; }
    bool lowest() const { return step_ + 1 == steps.size(); }

    /// Large segments (of `seen` bytes; 0: unknown) do not arrive on a link with this limit.
    void lower(std::uint32_t seen, instant now);
    /// TCP connected and the TLS handshake did not get through. `certain`: there are signs that it
    /// is large packets that vanish; else the peer may as well be slow, or stopped.
    void on_swallowed(bool certain);
    /// The TLS handshake got through.
    void on_secured(instant now);
    /// Streams move on a link with this limit.
    void on_progress();
    void on_route_changed() { *this = {}; }

    /// Once for each hole that is now certain: the limit with which the link gets through.
    std::optional<std::uint32_t> take_news();

  private:
    void hold(instant now);

    std::size_t step_ = 0;
    instant until_ = instant::max(); ///< When to do without a limit again.
    duration hold_ = hold_first;
    unsigned swallowed_ = 0; ///< Handshakes since the last that got through.
    bool certain_ = false;
    bool suspected_ = false; ///< Whether a limit has helped once, which may have been by chance.
    bool untold_ = false;    ///< Whether there is a limit that has yet to prove that it helps.
    bool news_ = false;
};

} // namespace muxsocks::client
