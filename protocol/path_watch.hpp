#pragma once

/// \file
/// What the links of a session tell about the path that they share: whether it loses packets, why,
/// and what it carries. Facts of all links go in at each look; what was seen stays true for a
/// while.

#include "protocol/link_facts.hpp"

#include <span>
#include <vector>

namespace muxsocks {

class path_watch {
  public:
    static constexpr duration loss_lasts = std::chrono::minutes(1);
    static constexpr duration thin_lasts = std::chrono::seconds(10);

    void update(std::span<const link_facts> links, instant now);

    /// Whether packets were lost lately, in either direction: what comes out of order was mostly
    /// overtaken by what came after a loss.
    bool loses(instant now) const { return now < loses_until_; }
    /// Whether what we sent was.
    bool retransmits(instant now) const { return now < retransmits_until_; }
    /// Whether packets were lost while no queue stood, so that a congestion control that takes loss
    /// for congestion keeps a link below what the path carries.
    bool thin(instant now) const { return now < thin_until_; }
    /// The most that all links together have sent in a second of the last minute.
    std::uint64_t bytes_per_second() const { return std::max(best_, best_before_); }
    /// The least round trip of any link that stands; zero while there is none.
    duration rtt_min() const { return rtt_min_; }
    /// Whether a queue stands on the link's path.
    static bool queue_stands(const link_facts& link) {
        return link.rtt > link.rtt_min + link.rtt_min / 4 + std::chrono::milliseconds(5);
    }

  private:
    struct seen {
        link_number number = 0;
        std::uint64_t retransmits = 0;
        std::uint64_t out_of_order = 0;
    };

    seen& remember(link_number number);
    void look_at_loss(const link_facts& link, instant now);

    std::vector<seen> seen_; ///< Of the links that stand, in no order.
    instant loses_until_{};
    instant retransmits_until_{};
    instant thin_until_{};
    duration rtt_min_{};
    std::uint64_t best_ = 0; ///< Of the half minute that is under way.
    std::uint64_t best_before_ = 0;
    instant best_since_{};
};

} // namespace muxsocks
