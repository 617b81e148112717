#pragma once

/// \file
/// How often each thing happened that the property test is about.

#include "protocol/session.hpp"

namespace muxsocks::sim {

struct tally {
    std::uint64_t steps = 0;
    std::uint64_t sessions = 0;
    std::uint64_t streams = 0;
    std::uint64_t completed = 0;
    std::uint64_t half_closes = 0;
    std::uint64_t resets = 0;
    std::uint64_t windows_dry = 0;
    std::uint64_t windows_grown = 0;
    std::uint64_t shed = 0;
    std::uint64_t refused = 0;
    std::uint64_t limits_reached = 0;
    std::uint64_t go_aways = 0;
    std::uint64_t replay_full = 0;
    std::uint64_t replay_waits = 0;
    std::uint64_t cuts = 0;
    std::uint64_t cuts_in_handshake = 0;
    std::uint64_t cuts_in_resume = 0;
    std::uint64_t cuts_in_start = 0;
    std::uint64_t cuts_in_replay = 0;
    std::uint64_t cuts_of_two = 0;
    std::uint64_t swallowed = 0;
    std::uint64_t resumes = 0;
    std::uint64_t hand_overs = 0;
    std::uint64_t seamless = 0;
    std::uint64_t elsewhere = 0;
    std::uint64_t duplicates = 0;

    void add(const session_statistics& of) {
        half_closes += of.half_closes;
        resets += of.resets_sent;
        windows_dry += of.windows_dry;
        windows_grown += of.windows_grown;
        shed += of.shed;
        refused += of.refused;
        replay_full += of.replay_full;
        duplicates += of.duplicates;
    }
};

struct tally_row {
    const char* name;
    std::uint64_t tally::*count;
    bool by_cuts; ///< Whether it happens only where links are cut.
};

inline constexpr tally_row tally_rows[] = {
    {"steps", &tally::steps, false},
    {"sessions", &tally::sessions, false},
    {"streams", &tally::streams, false},
    {"streams that ended in the normal way at both sides", &tally::completed, false},
    {"half-closes", &tally::half_closes, false},
    {"resets", &tally::resets, false},
    {"windows run dry", &tally::windows_dry, false},
    {"windows grown", &tally::windows_grown, false},
    {"shed streams", &tally::shed, false},
    {"refused streams", &tally::refused, false},
    {"opens above max_streams", &tally::limits_reached, false},
    {"GOAWAY", &tally::go_aways, false},
    {"times that a sender began to wait for a full replay buffer", &tally::replay_full, false},
    {"steps in which it did (replay-full pauses)", &tally::replay_waits, false},
    {"cuts", &tally::cuts, true},
    {"cuts inside HELLO or AUTH", &tally::cuts_in_handshake, true},
    {"cuts inside RESUME or its answer", &tally::cuts_in_resume, true},
    {"cuts between RESUME_OK and the end of START", &tally::cuts_in_start, true},
    {"cuts inside what is sent again", &tally::cuts_in_replay, true},
    {"cuts while the old and the new link stood", &tally::cuts_of_two, true},
    {"links that swallow", &tally::swallowed, true},
    {"resumes", &tally::resumes, true},
    {"hand-overs begun while the old link stood", &tally::hand_overs, true},
    {"of these, without the client ever being detached", &tally::seamless, true},
    {"RESUMEs that another server refused while the old link stood", &tally::elsewhere, true},
    {"duplicate frames dropped", &tally::duplicates, true},
};

inline void add(tally& sum, const tally& more) {
    for (const auto& row : tally_rows)
        sum.*row.count += more.*row.count;
}

} // namespace muxsocks::sim
