#pragma once

/// \file
/// What the kernel holds for a link's socket, unsent and unacknowledged: measured by TCP_INFO, and
/// bounded as protocol/standing_queue.hpp wants it, by TCP_NOTSENT_LOWAT and SO_SNDBUF. The bound
/// ends at net.core.wmem_max: longer or faster paths are not bounded.

#include "protocol/path_facts.hpp"
#include "protocol/standing_queue.hpp"

namespace muxsocks {

class socket_queue {
  public:
    explicit socket_queue(int descriptor);

    void on_small_message() { queue_.on_small_message(); }
    void on_idle() { queue_.on_idle(); }
    /// The socket has room again after it had none.
    void on_writable(instant now) {
        if (queue_.wants_sample(now)) measure(now);
    }
    /// All zero where the kernel does not tell.
    path_facts facts() const;
    /// Whether loss does not count as a sign of a full path.
    bool has_bbr() const;
    /// What the kernel may hold; 0: no bound.
    std::size_t bound_bytes() const { return limit_.value_or(0); }
    /// How much is sent at a time.
    std::size_t batch_bytes() const {
        return limit_ ? standing_queue::unsent_min : queue_.unsent_bytes();
    }

  private:
    void measure(instant now);
    void apply_unsent(std::size_t bytes);
    void apply_limit(std::optional<std::size_t> bytes);

    int descriptor_;
    standing_queue queue_;
    std::size_t unsent_ = standing_queue::unsent_max; ///< As the socket has it.
    std::optional<std::size_t> limit_;                ///< The same.
};

} // namespace muxsocks
