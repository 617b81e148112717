#include "server/user_limits.hpp"

#include "protocol/program/config_reader.hpp"

namespace muxsocks::server {
namespace {

constexpr std::uint64_t one_mib = 1ULL << 20;
constexpr std::uint64_t most_memory = 16ULL << 40;

} // namespace

user_limit_settings no_user_limits() { return {0, 0, 0, 0, 0, 0, 0, 0, 0}; }

std::uint32_t links_needed(std::uint32_t sessions, std::uint32_t of_session) {
    return sessions * of_session + sessions;
}

user_limit_settings over(const user_limit_settings& own, const user_limit_settings& general) {
    const auto either = [](auto one, auto other) { return one != 0 ? one : other; };
    auto both = general;
    both.sessions = either(own.sessions, general.sessions);
    // Those of the general rules go with the sessions that stand there.
    both.links = either(own.links, own.sessions != 0 ? 0 : general.links);
    both.streams = either(own.streams, general.streams);
    both.dials = either(own.dials, general.dials);
    both.lookups = either(own.lookups, general.lookups);
    both.files = either(own.files, general.files);
    both.udp_associations = either(own.udp_associations, general.udp_associations);
    both.memory = either(own.memory, general.memory);
    both.detached_memory = either(own.detached_memory, general.detached_memory);
    return both;
}

void bind_user_limits(config_section& section, user_limit_settings& limits) {
    const auto count = kinds::number(1, 1'000'000);
    const auto bytes = kinds::size(one_mib, most_memory);
    section.field("sessions", limits.sessions, kinds::number(1, 100'000),
                  "Sessions of one user, those without a link included. One more takes the place "
                  "of the one that has been without a link for longest, and is refused only where "
                  "each has one. A client has one, or as many as its `sessions` says for each "
                  "server; a person "
                  "one for each device, five perhaps.");
    section.field(
        "links", limits.links, count,
        "Links of one user's sessions. One more is to come again later. Never less than "
        "`link.max` for each session, and one that replaces another. Five devices have 20 at "
        "most.",
        {.default_text = "as many"});
    section.field("streams", limits.streams, count,
                  "Streams of one user. A browser with 500 tabs has some 1,500, BitTorrent with "
                  "2,000 peers 2,000, and 300 more that connect: both together 3,875.");
    section.field("dials", limits.dials, count,
                  "Connects to targets under way for one user; more wait. At 30 dead addresses a "
                  "second, as BitTorrent meets them, there are 300.");
    section.field("lookups", limits.lookups, count,
                  "Look-ups of names under way for one user; more wait. A page of a browser asks "
                  "for some 50 names at once, two pages for 100.");
    section.field("files", limits.files, count,
                  "Sockets to targets of one user: one a stream, so 3,875 as above. Of the "
                  "process's open files an eighth is kept for links, and another eighth for users "
                  "who have less than a sixty-fourth of them.");
    section.field("udp_associations", limits.udp_associations, count,
                  "UDP associations of one user; each is a stream and a socket besides. Programs "
                  "that send a whole machine's traffic here have one for each of its UDP sockets, "
                  "some 25; a browser has none, BitTorrent a few.");
    section.field(
        "memory", limits.memory, bytes,
        "The same as `memory.session` for all sessions of one user together. See "
        "docs/OPERATIONS.md, Users apart, for how users share `memory.total`. A browser and "
        "BitTorrent as above with 20 downloads at 160 Mbit/s hold 1 MiB, or on long lines "
        "what these have under way in a round trip: 4 MiB at 200 ms; and up to 128 KiB a download "
        "for what the kernel of the server holds while a link is away for seconds.",
        {.default_text = "`memory.total`"});
    section.field("detached_memory", limits.detached_memory, bytes,
                  "What one user's sessions without a link may hold. Over it those that have been "
                  "so for longest end, but not the last one. The same browser and BitTorrent leave "
                  "half a MiB. What the kernel holds for their connections is not counted here.");
}

} // namespace muxsocks::server
