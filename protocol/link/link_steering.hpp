#pragma once

/// \file
/// Has link_choice decide which link of a session takes what: puts together what the session and
/// what TCP know of each link, a few times a second while they move, and hands the roles back.

#include "protocol/link/link.hpp"
#include "protocol/link_choice.hpp"
#include "protocol/session/session.hpp"

#include <vector>

namespace muxsocks {

class link_steering {
  public:
    static constexpr duration interval = link_choice::interval;

    /// `links_max`: as link_choice takes it.
    explicit link_steering(unsigned links_max) : choice_(links_max) {}

    /// `link_of(number)`: the link, or null.
    template <typename Find>
    void look(session& core, Find link_of, instant now) {
        facts_ = core.facts();
        for (auto& each : facts_)
            if (const link* const on = link_of(each.number)) complete(each, *on, now);
        forget_gone();
        const auto streams = decide(core, now);
        for (const auto& each : facts_)
            if (is_for_small(each, streams))
                if (link* const on = link_of(each.number)) on->keep_window(now);
    }

    link_choice& choice() { return choice_; }
    const link_choice& choice() const { return choice_; }

  private:
    /// What a link has carried, from second to second.
    struct rates {
        link_number number;
        instant since;
        std::uint64_t sent;
        std::uint64_t received;
        duration answer_min{}; ///< The least round trip of a PING; zero while there is none.
        std::uint64_t sent_per_second = 0;
        std::uint64_t received_per_second = 0;
    };

    void complete(link_facts& facts, const link& on, instant now);
    rates& measure(link_number number, const path_facts& path, instant now);
    void forget_gone();
    stream_facts decide(session& core, instant now);
    /// Whether small messages go by it, on a long path, and no bulk of ours.
    bool is_for_small(const link_facts& link, const stream_facts& streams) const;

    link_choice choice_;
    std::vector<link_facts> facts_;
    std::vector<rates> rates_;
};

} // namespace muxsocks
