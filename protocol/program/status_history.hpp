#pragma once

/// \file
/// The last ten minutes of links and of all traffic, in steps of ten seconds, for charts: of the
/// sessions that a snapshot shows, and no longer than it shows them.

#include "protocol/program/command_line.hpp"
#include "protocol/program/snapshot.hpp"

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>

namespace muxsocks {

class status_history {
  public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds interval{10};
    static constexpr std::size_t steps_max = 60;

    struct link_id {
        std::uint64_t session = 0;
        std::uint32_t number = 0;

        auto operator<=>(const link_id&) const = default;
    };
    struct link_step {
        std::uint64_t sent = 0; ///< Bytes a second.
        std::uint64_t received = 0;
        double rtt_seconds = 0; ///< At its end.
        std::uint64_t packets = 0;
        std::uint64_t retransmits = 0; ///< Of those.
    };
    struct traffic_step {
        std::uint64_t up = 0; ///< Payload bytes a second.
        std::uint64_t down = 0;
    };

    /// Once each interval, or about.
    void add(program_role role, const snapshot& now, time_point at);

    /// The oldest step first, `steps_max` at most.
    [[nodiscard]] std::map<link_id, std::deque<link_step>> links() const;
    [[nodiscard]] const std::deque<traffic_step>& traffic() const { return traffic_; }

  private:
    struct counters {
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        std::uint64_t packets = 0;
        std::uint64_t retransmits = 0;
    };
    struct past {
        counters last;
        std::deque<link_step> steps;
    };
    void add(past& to, bool known, const link_snapshot& now, double seconds);

    std::optional<time_point> last_;
    std::uint64_t last_up_ = 0;
    std::uint64_t last_down_ = 0;
    std::map<link_id, past> links_;
    std::deque<traffic_step> traffic_;
};

} // namespace muxsocks
