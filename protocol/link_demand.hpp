#pragma once

/// \file
/// How many links a session should have, and when its client dials another one: one until more
/// help, and no longer than they do.
///
///     1 --(bulk beside others, round trip above 5 ms)--> 2 --(and loss)--> 3
///     ^-----------------(60 s without that)---------------'----------------'
///
/// Dials for more links are one at a time, one a second with a burst, and rarer after each failure.
/// The dial for a session that has no link is not this one's business.

#include "protocol/link_facts.hpp"

#include <array>
#include <optional>

namespace muxsocks {

class link_demand {
  public:
    static constexpr unsigned links_max = 3; ///< More never help.
    static constexpr duration lasts = std::chrono::seconds(60);
    static constexpr duration near = std::chrono::milliseconds(5);
    static constexpr duration dial_every = std::chrono::seconds(1);
    static constexpr int dials_at_once = 16;
    /// After a failed dial; doubled with each that follows, up to retry_max.
    static constexpr duration retry_min = std::chrono::seconds(10);
    /// After one that reached a server which does not know the session, behind a balancer.
    static constexpr duration elsewhere_min = std::chrono::minutes(1);
    static constexpr duration retry_max = std::chrono::minutes(10);

    enum class dial_end { joined, failed, elsewhere };

    /// `max`: the session's max_links as agreed; 0 at a server, which dials none.
    explicit link_demand(unsigned max) : max_(std::min(max, links_max)) {}

    /// Whether links are opened and closed here at all.
    bool dials() const { return max_ > 0; }
    /// What helps now: 1, 2 or 3.
    void need(unsigned links, instant now);
    /// How many are wanted: what helped within the last minute.
    unsigned wanted(instant now) const;
    /// `usable` links take frames, `standing` ones stand, doubted and joining ones too.
    bool dial_due(unsigned usable, unsigned standing, instant now) const;
    void on_dial(instant now);
    void on_dial_ended(dial_end how, instant now);
    /// When wanted() or dial_due() may change by time alone; nothing if not.
    std::optional<instant> deadline(unsigned usable, unsigned standing, instant now) const;

  private:
    instant dial_time() const;

    unsigned max_;
    std::array<instant, links_max + 1> needed_until_{}; ///< By how many links.
    bool dialling_ = false;
    instant dials_paid_until_{}; ///< Each dial pays a second; at most a burst may be owed.
    instant not_before_{};
    duration retry_{};
};

} // namespace muxsocks
