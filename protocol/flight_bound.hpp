#pragma once

/// \file
/// How much of a link may be in flight on a long path. A congestion control that looks for what a
/// path carries sends more than that: when it begins, until the queue in front of the narrowest
/// place overflows and thousands of packets are lost at once, and after each pause of the machine
/// or the path, whose burst BBR takes for a higher rate. All other links of the session wait in
/// that queue as well. This bounds what is in flight to what the path carries in a round trip and a
/// little more; within the bound the congestion control does as it likes.
///
///     free --(a queue stands)--> bounded --(slower than it was free)--> more allowed
///      ^                          | now and then: does more in flight carry more?  |
///      +--(nothing to send)-------+<-----------------------------------------------+
///      +--(for minutes, longer each time)--- at rest <--(still slower, all tried)--+
///
/// A try is a round trip long, since what it adds stands in the queue where the path is full, and
/// all small messages wait for it; the more of them were in vain, the rarer they are.
///
/// Vegas' measure (Brakmo and Peterson, 1995) with BBR's probing. Free of I/O: TCP's own figures go
/// in, a bound comes out. Short paths are standing_queue's.

#include "protocol/flow_control.hpp"

#include <cstddef>
#include <optional>
#include <utility>

namespace muxsocks {

/// Of a socket, at one time; TCP_INFO has it on Linux.
struct flight_sample {
    std::uint64_t delivered_bytes = 0; ///< Acknowledged, selectively too, since it began.
    duration rtt{};                    ///< Smoothed.
    duration rtt_min{};
    std::size_t window_bytes = 0; ///< The congestion window.
};

class flight_bound {
  public:
    /// The least round trip of a long path.
    static constexpr duration far = std::chrono::milliseconds(4);
    static constexpr std::size_t limit_min = 32 * 1024;

    /// There was nothing left to send: what went before does not tell what the path carries.
    void on_idle() { window_begun_.reset(); }
    /// Ask while more is to be sent than the socket takes, or than the bound allows.
    bool wants_sample(instant now) const { return !window_begun_ || now >= window_end_; }
    void on_sample(const flight_sample& sample, instant now);
    /// Something waited because of the bound: more may be worth a try.
    void on_held() { held_ = true; }

    /// The bound of what is in flight and unsent, if there is to be one.
    std::optional<std::size_t> limit_bytes() const { return limit_; }
    /// What the path carries, while there is a bound.
    double bytes_per_second() const { return rate_; }
    /// How fast the socket may send, while there is a bound. No bound of what is in flight lets
    /// more through for long; but after a pause, when nothing is in flight, all that it allows
    /// would go at once, and stand in front of the narrowest place.
    std::optional<double> pace_bytes_per_second() const;
    /// Whether the congestion control should look anew for what the path carries, once: BBR takes
    /// losses at the begin for a full path, feels its way up by a quarter in eight round trips, and
    /// may stay at some packets in each. What it sends too much is caught here.
    bool take_restart() { return std::exchange(restart_, false); }

  private:
    void look(const flight_sample& sample, instant now);
    void follow(const flight_sample& sample, instant now);
    void begin_probe();
    void follow_probe(const flight_sample& sample, instant now);
    duration probe_interval(const flight_sample& sample) const;
    void watch_climb(const flight_sample& sample, instant now);
    void set(double bytes);
    void give_up(instant now);
    /// How long a queue may stand that keeps the path busy.
    duration allowance(const flight_sample& sample) const;

    std::optional<std::size_t> limit_;
    double rate_ = 0;         ///< Of the last window.
    double free_rate_ = 0;    ///< The most that was carried: the bound must not cost it.
    double bounded_rate_ = 0; ///< What is carried with it, smoothed (EWMA 1/4).
    double grown_rate_ = 0;   ///< What was carried when the bound grew last.
    int patience_ = 1;        ///< Factor of the allowance.

    // A window of time in which there always was something to send.
    std::optional<instant> window_begun_;
    instant window_end_{};
    instant late_{}; ///< When the window should have ended long ago: little could be sent.
    std::uint64_t window_delivered_ = 0;
    int settling_ = 0;  ///< Windows, this one first, that tell nothing of the bound.
    bool held_ = false; ///< Whether the bound was reached in it.
    duration rtt_min_{};

    instant probe_at_{};
    std::optional<std::size_t> probed_from_; ///< The bound before the probe that is under way.
    double probed_rate_ = 0;                 ///< And what was carried with it.
    int probe_patience_ = 1;                 ///< Factor of the time between two of them.

    // A time in which no queue stood, and what was carried when it began.
    std::optional<instant> climb_begun_;
    double climb_rate_ = 0;
    double restart_rate_ = 0; ///< The most that was carried when it began anew.
    int climb_patience_ = 1;  ///< Factor of the time.
    bool restart_ = false;

    instant rested_at_{}; ///< Until then no bound is tried.
    duration rest_ = std::chrono::minutes(1);
};

} // namespace muxsocks
