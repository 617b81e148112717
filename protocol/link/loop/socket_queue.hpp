#pragma once

/// \file
/// What the kernel holds for a link's socket, unsent and unacknowledged: measured by TCP_INFO, and
/// bounded: on short paths as protocol/standing_queue.hpp wants it, by TCP_NOTSENT_LOWAT and
/// SO_SNDBUF, whose highest value is net.core.wmem_max; on long ones as protocol/flight_bound.hpp
/// wants it, by giving the socket no more than there is room for, no faster than
/// SO_MAX_PACING_RATE. The kernel's buffer is no measure there: what is acknowledged selectively
/// stays in it until the loss is mended.

#include "protocol/flight_bound.hpp"
#include "protocol/path_facts.hpp"
#include "protocol/standing_queue.hpp"

namespace muxsocks {

class socket_queue {
  public:
    explicit socket_queue(int descriptor);

    void on_small_message() { queue_.on_small_message(); }
    void on_idle() {
        queue_.on_idle();
        flight_.on_idle();
    }
    /// The socket has room again after it had none, or room_at() has come.
    void on_writable(instant now) {
        if (queue_.wants_sample(now) || flight_.wants_sample(now)) measure(now);
    }
    /// How much of `wanted` bytes the socket may be given now; without a bound all. A system call
    /// with one.
    std::size_t room(std::size_t wanted);
    /// When there may be more room than room() gave last.
    instant room_at(instant now) const { return now + wait_; }
    /// All zero where the kernel does not tell.
    path_facts facts() const;
    /// Whether loss does not count as a sign of a full path.
    bool has_bbr() const;
    /// Call it now and then for a link that carries little. Where BBR has found no smaller round
    /// trip for ten seconds, it leaves four packets in flight for a fifth of one, which holds up
    /// small messages; so it begins anew before that. Of what it knows nothing is of use to such a
    /// link.
    void keep_window(instant now);
    /// What the kernel may hold; 0: no bound.
    std::size_t bound_bytes() const { return flight_.limit_bytes().value_or(limit_.value_or(0)); }
    /// How much is sent at a time.
    std::size_t batch_bytes() const {
        return limit_ ? standing_queue::unsent_min : queue_.unsent_bytes();
    }

  private:
    static constexpr std::uint64_t no_pace = ~std::uint64_t{0}; ///< As the kernel has it.

    void measure(instant now);
    void restart_bbr() const;
    void apply_unsent(std::size_t bytes);
    void apply_pace(std::optional<double> bytes_per_second);
    void apply_limit(std::optional<std::size_t> bytes);

    int descriptor_;
    standing_queue queue_;
    flight_bound flight_;
    instant bbr_renewed_{};
    duration wait_{};                                 ///< For room in flight.
    std::size_t unsent_ = standing_queue::unsent_max; ///< As the socket has it.
    std::optional<std::size_t> limit_;                ///< The same.
    std::uint64_t pace_ = no_pace;                    ///< The same, bytes a second.
};

} // namespace muxsocks
