#pragma once

/// \file
/// How much of a link's output may be on its way at once. Where a link is faster than the narrowest
/// place of its path, a queue stands in front of that place, filled by bulk streams, and a
/// keystroke of another stream waits behind all of it: TCP delivers in order. "A standing queue is
/// delay without throughput" (RFC 8289, section 3). This finds the queue by the round-trip time and
/// bounds what the kernel may hold for the link, unsent and unacknowledged, to what the path
/// carries in a round trip and a little more, for as long as others send beside bulk and the link
/// is no slower for it. Long paths are flight_bound's.
///
///     free --(a queue stands, others beside bulk)--> bounded --(slower than free)--> more allowed
///      ^ ^                                             |                                |
///      | +----------(no others for 5 s)----------------+           (still slower, all tried)
///      +-----------------(after minutes, longer each time)--------- at rest <-----------+
///
/// Free of I/O: TCP's own figures go in, bounds come out.

#include "protocol/flow_control.hpp"

#include <cstddef>
#include <optional>

namespace muxsocks {

/// Of a socket, at one time; TCP_INFO has it on Linux.
struct path_sample {
    std::uint64_t delivered_bytes = 0; ///< Acknowledged since the connection began.
    duration rtt{};                    ///< Smoothed.
    duration rtt_min{};
};

class standing_queue {
  public:
    /// The bounds of unsent_bytes(): one TLS record, and a whole turn, which a link has that is
    /// fast enough for it to be gone in two thirds of a millisecond.
    static constexpr std::size_t unsent_min = 16 * 1024;
    static constexpr std::size_t unsent_max = 128 * 1024;
    static constexpr std::uint64_t fast_bytes_per_second = 200'000'000;

    static constexpr duration rest_min = std::chrono::minutes(1);
    static constexpr duration rest_max = std::chrono::minutes(16);

    /// `limit_max`: the highest bound that can be put on the socket; 0: none can.
    explicit standing_queue(std::size_t limit_max) : limit_max_(limit_max) {}

    /// Someone who is not bulk has sent: a whole small message.
    void on_small_message() { small_message_ = true; }
    /// There was nothing left to send: what went before does not tell what the path carries.
    void on_idle() { window_begun_.reset(); }
    /// Whether on_sample() has a use for a sample now. Ask while more is to be sent than the socket
    /// takes.
    bool wants_sample(instant now) const { return !window_begun_ || now >= window_end_; }
    void on_sample(const path_sample& sample, instant now);

    /// How much is sent at a time, and may wait unsent in the kernel (TCP_NOTSENT_LOWAT): nothing
    /// overtakes there.
    std::size_t unsent_bytes() const { return unsent_; }
    /// The bound of all that the kernel holds, if there is to be one.
    std::optional<std::size_t> limit_bytes() const { return limit_; }

  private:
    void begin_window(const path_sample& sample, instant now);
    void look(double rate, const path_sample& sample, instant now);
    void bound(double rate, const path_sample& sample, instant now);
    void judge(double rate, const path_sample& sample, instant now);
    void follow(double rate, const path_sample& sample);
    void give_up(instant now);
    /// How long a queue may stand that keeps the path busy.
    duration allowance(double rate, duration rtt_min) const;

    std::size_t limit_max_;
    std::size_t unsent_ = unsent_max;
    std::optional<std::size_t> limit_;

    // A window of time in which there always was something to send.
    std::optional<instant> window_begun_;
    instant window_end_{};
    std::uint64_t window_delivered_ = 0;

    bool small_message_ = false; ///< Since the last sample.
    std::optional<instant> shared_until_;
    instant rested_at_{}; ///< Until then no bound is tried.
    duration rest_ = rest_min;
    double free_rate_ = 0;    ///< Bytes a second before there was a bound.
    double bounded_rate_ = 0; ///< And with it, smoothed (EWMA 1/4).
    int patience_ = 1;        ///< Factor of the allowance.
    instant known_until_{};   ///< unsent_bytes() is as a window told that is not long ago.
    bool settling_ = false;   ///< Whether the window began before the bound was what it is.
};

} // namespace muxsocks
