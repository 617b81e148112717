/// \file
/// `muxsocks_session_sim [seeds] [first_seed]`: the property test of sessions over several links,
/// and how often each thing happened. Exit code 0 if no seed failed.
///
///     --cuts both|always|never    whether links are cut: both runs each seed twice (the default)
///     --break RULE                breaks a rule on purpose; then a failure is the success
///     --all-breaks                each rule, one after the other: how soon it is found

#include "tests/session_sim/world.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using namespace muxsocks;
using namespace muxsocks::session_sim;

/// What runs now, for the message of a failed assertion.
volatile std::uint64_t current_seed = 0;
volatile bool current_cuts = false;

void on_abort(int) {
    std::fprintf(stderr, "seed %llu --cuts %s: an assertion failed\n",
                 static_cast<unsigned long long>(current_seed), current_cuts ? "always" : "never");
}

struct arguments {
    std::uint64_t seeds = 1'000;
    std::uint64_t first_seed = 0;
    bool with_cuts = true;
    bool without_cuts = true;
    broken_rule broken = broken_rule::none;
    bool all_breaks = false;
};

struct named_rule {
    const char* name;
    broken_rule rule;
};
constexpr named_rule rules[] = {
    {"lost-frames-forgotten", broken_rule::lost_frames_forgotten},
    {"credit-not-said-again", broken_rule::credit_not_said_again},
    {"fin-closes-early", broken_rule::fin_closes_early},
    {"pieces-dropped", broken_rule::pieces_dropped},
    {"overlaps-doubled", broken_rule::overlaps_doubled},
    {"ignored-not-counted", broken_rule::ignored_not_counted},
    {"ack-by-other-link", broken_rule::ack_by_other_link},
    {"copies-not-counted", broken_rule::copies_not_counted},
    {"ids-left-out", broken_rule::ids_left_out},
    {"missing-ids-closed", broken_rule::missing_ids_closed},
    {"closed-ids-answered", broken_rule::closed_ids_answered},
    {"place-freed-early", broken_rule::place_freed_early},
    {"ended-early", broken_rule::ended_early},
    {"rst-overtakes-words", broken_rule::rst_overtakes_words},
    {"goaway-not-kept", broken_rule::goaway_not_kept},
    {"drop-without-count", broken_rule::drop_without_count},
    {"link-number-reused", broken_rule::link_number_reused},
    {"close-by-one-link", broken_rule::close_by_one_link},
};

[[noreturn]] void usage() {
    std::fprintf(stderr, "usage: muxsocks_session_sim [seeds] [first_seed] "
                         "[--cuts both|always|never] [--break RULE] [--all-breaks]\n");
    for (const auto& each : rules)
        std::fprintf(stderr, "    %s\n", each.name);
    std::exit(2);
}

std::uint64_t number(const char* text) {
    char* end = nullptr;
    const auto value = std::strtoull(text, &end, 10);
    if (end == text || *end != '\0') usage();
    return value;
}

arguments read_arguments(int argc, char** argv) {
    arguments result;
    int plain = 0;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const std::string value = i + 1 < argc ? argv[i + 1] : "";
        if (word == "--cuts" && (value == "both" || value == "always" || value == "never")) {
            result.with_cuts = value != "never";
            result.without_cuts = value != "always";
            ++i;
        } else if (word == "--break") {
            for (const auto& each : rules)
                if (value == each.name) result.broken = each.rule;
            if (result.broken == broken_rule::none) usage();
            ++i;
        } else if (word == "--all-breaks") {
            result.all_breaks = true;
        } else if (plain < 2 && word[0] != '-') {
            (plain++ == 0 ? result.seeds : result.first_seed) = number(argv[i]);
        } else {
            usage();
        }
    }
    return result;
}

/// Whether the seed ran without a violation.
bool run(std::uint64_t seed, bool with_cuts, broken_rule broken, tally& sum) {
    current_seed = seed;
    current_cuts = with_cuts;
    world one(seed, with_cuts, broken);
    try {
        one.run();
    } catch (const violation& fault) {
        std::printf("seed %llu --cuts %s: %s\n", static_cast<unsigned long long>(seed),
                    with_cuts ? "always" : "never", fault.what());
        return false;
    }
    one.counts().add_to(sum);
    return true;
}

/// Whether everything happened that the test is about; with few seeds that is left to chance.
bool print(const tally& sum, std::uint64_t runs, const arguments& how) {
    bool complete = true;
    for (const auto& row : tally_rows) {
        std::printf("%12llu  %10.2f a run  %s\n", static_cast<unsigned long long>(row.count(sum)),
                    static_cast<double>(row.count(sum)) / static_cast<double>(runs), row.name);
        if (row.count(sum) == 0 && (how.with_cuts || !row.by_cuts)) complete = false;
    }
    return complete || runs < 200;
}

} // namespace

/// After how many runs the broken rule was found; 0 if it was not.
std::uint64_t find(broken_rule broken, const arguments& how) {
    tally sum;
    std::uint64_t runs = 0;
    for (auto seed = how.first_seed; seed < how.first_seed + how.seeds; ++seed) {
        if (how.without_cuts && ++runs && !run(seed, false, broken, sum)) return runs;
        if (how.with_cuts && ++runs && !run(seed, true, broken, sum)) return runs;
    }
    return 0;
}

int find_all(const arguments& how) {
    int missed = 0;
    for (const auto& each : rules) {
        if (!how.all_breaks && each.rule != how.broken) continue;
        const auto runs = find(each.rule, how);
        if (runs == 0) ++missed;
        std::printf("%-24s %s %llu runs\n", each.name, runs ? "found after" : "NOT found in",
                    static_cast<unsigned long long>(runs ? runs : how.seeds));
        std::fflush(stdout);
    }
    return missed == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
    const auto how = read_arguments(argc, argv);
    std::signal(SIGABRT, on_abort);
    if (how.all_breaks || how.broken != broken_rule::none) return find_all(how);
    tally sum;
    std::uint64_t runs = 0;
    std::uint64_t failures = 0;
    for (auto seed = how.first_seed; seed < how.first_seed + how.seeds; ++seed) {
        if (how.without_cuts && ++runs && !run(seed, false, how.broken, sum)) ++failures;
        if (how.with_cuts && ++runs && !run(seed, true, how.broken, sum)) ++failures;
    }
    std::printf("%llu runs, %llu failures\n", static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(failures));
    const bool complete = print(sum, runs, how);
    if (!complete) std::printf("something above never happened\n");
    return failures == 0 && complete ? 0 : 1;
}
