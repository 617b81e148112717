#pragma once

/// \file
/// How often each thing happened that the property test is about.

#include "protocol/session/session.hpp"

namespace muxsocks::session_sim {

struct tally {
    std::uint64_t steps = 0;
    std::uint64_t sessions = 0;
    std::uint64_t unresumable = 0;
    std::uint64_t streams = 0;
    std::uint64_t completed = 0;
    std::uint64_t last_words = 0;
    std::uint64_t limits_reached = 0;
    std::uint64_t go_aways = 0;
    std::uint64_t orderly = 0;
    std::uint64_t orderly_on_several = 0;
    std::uint64_t expired = 0;
    std::uint64_t cuts = 0;
    std::uint64_t cuts_in_handshake = 0;
    std::uint64_t cuts_in_join = 0;
    std::uint64_t cuts_of_all = 0;
    std::uint64_t cuts_by_one = 0;
    std::uint64_t swallowed = 0;
    std::uint64_t elsewhere = 0;
    std::uint64_t replaced = 0;
    std::uint64_t hand_overs = 0;
    std::uint64_t hand_overs_failed = 0;
    std::uint64_t roles = 0;
    std::uint64_t kept_waits = 0;
    session_statistics of;

    void add(const session_statistics& more) {
        const auto sum = [](std::uint64_t& to, std::uint64_t what) { to += what; };
        sum(of.datagrams_sent, more.datagrams_sent);
        sum(of.datagrams_received, more.datagrams_received);
        sum(of.half_closes, more.half_closes);
        sum(of.resets_sent, more.resets_sent);
        sum(of.windows_dry, more.windows_dry);
        sum(of.windows_grown, more.windows_grown);
        sum(of.shed, more.shed);
        sum(of.refused, more.refused);
        sum(of.kept_full, more.kept_full);
        sum(of.sent_again, more.sent_again);
        sum(of.sent_twice, more.sent_twice);
        sum(of.repeated, more.repeated);
        sum(of.pieces, more.pieces);
        sum(of.ids_missing, more.ids_missing);
        sum(of.links, more.links);
        sum(of.links_lost, more.links_lost);
        sum(of.links_doubted, more.links_doubted);
        sum(of.links_dropped_by_peer, more.links_dropped_by_peer);
        sum(of.detached, more.detached);
    }

    void add_to(tally& sum) const {
        for (const auto one : {&tally::steps,
                               &tally::sessions,
                               &tally::unresumable,
                               &tally::streams,
                               &tally::completed,
                               &tally::last_words,
                               &tally::limits_reached,
                               &tally::go_aways,
                               &tally::orderly,
                               &tally::orderly_on_several,
                               &tally::expired,
                               &tally::cuts,
                               &tally::cuts_in_handshake,
                               &tally::cuts_in_join,
                               &tally::cuts_of_all,
                               &tally::cuts_by_one,
                               &tally::swallowed,
                               &tally::elsewhere,
                               &tally::replaced,
                               &tally::hand_overs,
                               &tally::hand_overs_failed,
                               &tally::roles,
                               &tally::kept_waits})
            sum.*one += this->*one;
        sum.add(of);
    }
};

struct tally_row {
    const char* name;
    std::uint64_t (*count)(const tally& of);
    bool by_cuts; ///< Whether it happens only where links are cut.
};

inline constexpr tally_row tally_rows[] = {
    {"steps", [](const tally& t) { return t.steps; }, false},
    {"sessions", [](const tally& t) { return t.sessions; }, false},
    {"of these, such that cannot be resumed", [](const tally& t) { return t.unresumable; }, false},
    {"streams", [](const tally& t) { return t.streams; }, false},
    {"streams that ended in the normal way at both sides",
     [](const tally& t) { return t.completed; }, false},
    {"datagrams", [](const tally& t) { return t.of.datagrams_sent; }, false},
    {"datagrams that have come", [](const tally& t) { return t.of.datagrams_received; }, false},
    {"half-closes", [](const tally& t) { return t.of.half_closes; }, false},
    {"resets", [](const tally& t) { return t.of.resets_sent; }, false},
    {"resets behind last words", [](const tally& t) { return t.last_words; }, false},
    {"windows run dry", [](const tally& t) { return t.of.windows_dry; }, false},
    {"windows grown", [](const tally& t) { return t.of.windows_grown; }, false},
    {"shed streams", [](const tally& t) { return t.of.shed; }, false},
    {"refused streams", [](const tally& t) { return t.of.refused; }, false},
    {"opens above max_streams", [](const tally& t) { return t.limits_reached; }, false},
    {"GOAWAY", [](const tally& t) { return t.go_aways; }, false},
    {"sessions that ended in good order", [](const tally& t) { return t.orderly; }, false},
    {"of these, on several links", [](const tally& t) { return t.orderly_on_several; }, false},
    {"sessions that a server gave up", [](const tally& t) { return t.expired; }, true},
    {"times that a link began to wait for acknowledgements",
     [](const tally& t) { return t.of.kept_full; }, false},
    {"steps in which one did", [](const tally& t) { return t.kept_waits; }, false},
    {"links that were up", [](const tally& t) { return t.of.links; }, false},
    {"links that took the place of others", [](const tally& t) { return t.replaced; }, false},
    {"times that links changed what they take", [](const tally& t) { return t.roles; }, false},
    {"frames that went by two links", [](const tally& t) { return t.of.sent_twice; }, false},
    {"frames beyond a gap", [](const tally& t) { return t.of.pieces; }, false},
    {"ids that were missing", [](const tally& t) { return t.of.ids_missing; }, false},
    {"received bytes that were known", [](const tally& t) { return t.of.repeated; }, false},
    {"cuts", [](const tally& t) { return t.cuts; }, true},
    {"cuts inside HELLO or AUTH", [](const tally& t) { return t.cuts_in_handshake; }, true},
    {"cuts inside JOIN or its answer", [](const tally& t) { return t.cuts_in_join; }, true},
    {"cuts of all links at once", [](const tally& t) { return t.cuts_of_all; }, true},
    {"links that one side alone gave up", [](const tally& t) { return t.cuts_by_one; }, true},
    {"links that swallow", [](const tally& t) { return t.swallowed; }, true},
    {"links lost", [](const tally& t) { return t.of.links_lost; }, true},
    {"links lost by DROP", [](const tally& t) { return t.of.links_dropped_by_peer; }, true},
    {"links doubted", [](const tally& t) { return t.of.links_doubted; }, true},
    {"times without a link", [](const tally& t) { return t.of.detached; }, true},
    {"JOINs that another server refused", [](const tally& t) { return t.elsewhere; }, true},
    {"sessions that went on as another object", [](const tally& t) { return t.hand_overs; }, true},
    {"hand-overs that failed", [](const tally& t) { return t.hand_overs_failed; }, true},
    {"frames sent again", [](const tally& t) { return t.of.sent_again; }, true},
};

} // namespace muxsocks::session_sim
