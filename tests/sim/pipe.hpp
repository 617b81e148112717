#pragma once

/// \file
/// One direction of a scripted link: bytes in order, bounded, late, and cut or held back where the
/// script says. Inside a live link no byte is lost, as with TCP: loss is a broken link.

#include "protocol/byte_order.hpp"
#include "protocol/flow_control.hpp"

#include <deque>
#include <limits>
#include <optional>
#include <vector>

namespace muxsocks::sim {

class pipe {
  public:
    static constexpr auto never = std::numeric_limits<std::uint64_t>::max();
    struct script {
        std::size_t capacity = 1 << 20; ///< Bytes on their way at once; above it writes wait.
        duration delay{0};
        std::uint64_t cut_after = never;   ///< The link breaks behind this many bytes.
        std::uint64_t stall_after = never; ///< Bytes behind these never arrive, nor is it noticed.
    };

    explicit pipe(const script& how) : script_(how) {}

    // The sender's end.

    /// Takes as many bytes as there is room for and returns how many. None once broken.
    std::size_t write(bytes_view bytes, instant now);
    /// The sender closes: the reader sees the end behind what is on its way.
    void close() { broken_ = true; }
    bool broken() const { return broken_; }

    // The reader's end.

    /// Appends up to `bytes_max` bytes that have arrived by `now`; returns how many.
    std::size_t read(std::vector<std::uint8_t>& to, std::size_t bytes_max, instant now);
    bool arrived(instant now) const;
    /// Whether it is broken and whatever still arrives has been read.
    bool at_end() const { return broken_ && (flights_.empty() || stalled()); }
    /// When the next bytes arrive; none if nothing is on its way.
    std::optional<instant> next_arrival() const;

    // The script, changed on the way.

    /// Breaks now; of the bytes on their way the first `arriving` still arrive.
    void cut(std::size_t arriving);
    /// What is written from here on never arrives.
    void stall() { script_.stall_after = read_ + in_flight_; }
    std::size_t in_flight() const { return in_flight_; }
    std::uint64_t bytes_read() const { return read_; }

  private:
    struct flight {
        instant arrival;
        std::vector<std::uint8_t> bytes;
        std::size_t begin = 0;
    };
    bool stalled() const { return read_ >= script_.stall_after; }

    script script_;
    std::deque<flight> flights_;
    std::size_t in_flight_ = 0;
    std::uint64_t written_ = 0;
    std::uint64_t read_ = 0;
    bool broken_ = false;
};

} // namespace muxsocks::sim
