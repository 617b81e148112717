/// \file
/// `muxsocks_sim [seeds] [first_seed]`: the property test over many seeds, and how often each thing
/// happened. Exit code 0 if no seed failed.
///
///     --cuts both|always|never    whether links are cut: both runs each seed twice (the default)
///     --break no_start|no_first_frame
///                                 breaks resumption on purpose; then a failure is the success

#include "tests/sim/world.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using namespace muxsocks;
using namespace muxsocks::sim;

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
    session_faults broken;

    bool is_broken() const { return broken.no_start || broken.no_first_frame; }
};

[[noreturn]] void usage() {
    std::fprintf(stderr, "usage: muxsocks_sim [seeds] [first_seed] [--cuts both|always|never] "
                         "[--break no_start|no_first_frame]\n");
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
        } else if (word == "--break" && (value == "no_start" || value == "no_first_frame")) {
            (value == "no_start" ? result.broken.no_start : result.broken.no_first_frame) = true;
            ++i;
        } else if (plain < 2 && word[0] != '-') {
            (plain++ == 0 ? result.seeds : result.first_seed) = number(argv[i]);
        } else {
            usage();
        }
    }
    return result;
}

/// Whether the seed ran without a violation.
bool run(std::uint64_t seed, bool with_cuts, const arguments& how, tally& sum) {
    current_seed = seed;
    current_cuts = with_cuts;
    world one(seed, with_cuts, how.broken);
    try {
        one.run();
    } catch (const violation& broken) {
        std::printf("seed %llu --cuts %s: %s\n", static_cast<unsigned long long>(seed),
                    with_cuts ? "always" : "never", broken.what());
        return false;
    }
    add(sum, one.counts());
    return true;
}

/// Whether everything happened that the test is about; with few seeds that is left to chance.
bool print(const tally& sum, std::uint64_t runs, const arguments& how) {
    bool complete = true;
    for (const auto& row : tally_rows) {
        std::printf("%12llu  %10.2f a run  %s\n", static_cast<unsigned long long>(sum.*row.count),
                    static_cast<double>(sum.*row.count) / static_cast<double>(runs), row.name);
        if (sum.*row.count == 0 && (how.with_cuts || !row.by_cuts)) complete = false;
    }
    return complete || runs < 200;
}

} // namespace

int main(int argc, char** argv) {
    const auto how = read_arguments(argc, argv);
    std::signal(SIGABRT, on_abort);
    tally sum;
    std::uint64_t runs = 0;
    std::uint64_t failures = 0;
    for (auto seed = how.first_seed; seed < how.first_seed + how.seeds; ++seed) {
        if (how.without_cuts && ++runs && !run(seed, false, how, sum)) ++failures;
        if (how.with_cuts && ++runs && !run(seed, true, how, sum)) ++failures;
        if (how.is_broken() && failures > 0) {
            std::printf("the fault was found after %llu runs\n",
                        static_cast<unsigned long long>(runs));
            return 0;
        }
    }
    std::printf("%llu runs, %llu failures\n", static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(failures));
    if (how.is_broken()) return 1;
    const bool complete = print(sum, runs, how);
    if (!complete) std::printf("something above never happened\n");
    return failures == 0 && complete ? 0 : 1;
}
