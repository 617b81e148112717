#pragma once

/// \file
/// Which link of a session takes what, and how many links there should be: the policy of both
/// sides, each on what it knows itself. Facts and the time go in, decisions come out; who has the
/// sockets carries them out.
///
/// Small frames and bulk are kept apart as soon as there are two links, because a packet that is
/// lost, or a queue, holds up all that goes by the same link. Bulk goes by one link: with BBR it
/// fills the path, and a second one only makes a queue. Only where loss keeps another congestion
/// control below what the path carries is it spread. What is small may go by two links at once, so
/// that it hardly sees the path's loss. Whether a link lives is not its business: the session says
/// which ones are avoided.

#include "protocol/bulk_meter.hpp"
#include "protocol/link_demand.hpp"
#include "protocol/path_watch.hpp"

#include <optional>
#include <span>
#include <vector>

namespace muxsocks {

class link_choice {
  public:
    /// The share of what the path carries that may go twice; and what may in any case, in a second,
    /// where the links have room: an idle session does not know what its path carries.
    static constexpr std::uint64_t twice_part = 20;
    static constexpr std::uint64_t twice_least = 4096;
    /// How often to look while bytes move; deadline() is for when they do not.
    static constexpr duration interval = std::chrono::milliseconds(250);
    /// The least that bulk_bytes() goes down to.
    static constexpr std::uint32_t bulk_bytes_min = 64 * 1024;

    /// `links_max`: as link_demand's.
    explicit link_choice(unsigned links_max) : demand_(links_max) {}

    void update(std::span<const link_facts> links, const stream_facts& streams, instant now);

    const link_roles& roles() const { return roles_; }
    /// What bulk_meter::update() is to take for much.
    std::uint32_t bulk_bytes() const { return bulk_bytes_; }
    /// How many bytes of small frames may go by roles().twice as well, in a second
    /// (copy_budget.hpp).
    std::uint64_t twice_bytes_per_second() const;

    // ---- A client's links.

    /// Whether to dial another one; follow it with on_dial() and, once, on_dial_ended().
    bool dial_due() const { return dial_due_; }
    void on_dial(instant now) {
        demand_.on_dial(now);
        dial_due_ = false;
    }
    void on_dial_ended(link_demand::dial_end how, instant now) { demand_.on_dial_ended(how, now); }
    /// A link that is no longer of use and is to be closed in good order.
    std::optional<link_number> to_close() const { return to_close_; }

    /// When to update() even if nothing happens; nothing if never.
    std::optional<instant> deadline() const { return deadline_; }

  private:
    using facts = std::span<const link_facts>;

    void find_usable(facts links);
    void choose_bulk(const stream_facts& streams, instant now);
    void choose_small(const stream_facts& streams, instant now);
    const link_facts* usable(link_number number) const;
    const link_facts* quickest(link_number current, link_number but, bool without_bulk,
                               const stream_facts& streams) const;
    bool carries_bulk(const link_facts& link, const stream_facts& streams) const;
    duration delay(const link_facts& link) const;
    void look_at_crowd(const stream_facts& streams, instant now);
    void look_at_demand(facts links, const stream_facts& streams, instant now);
    void find_deadline(facts links, instant now);

    path_watch path_;
    link_demand demand_;
    link_roles roles_;
    std::vector<const link_facts*> usable_; ///< Only within update().

    std::uint32_t bulk_bytes_ = bulk_meter::usual_bytes;
    instant bulk_bytes_changed_{};
    instant crowd_seen_{};     ///< When the links without bulk last carried more than little.
    bool twice_floor_ = false; ///< Whether twice_least holds: both links have room.

    bool dial_due_ = false;
    std::optional<link_number> to_close_;
    std::optional<instant> deadline_;
};

} // namespace muxsocks
