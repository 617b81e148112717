#pragma once

/// \file
/// The command line of muxsocks-load: which work, through what, how much of it.

#include "benchmarks/load/stream.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace muxsocks::load {

enum class work { target, throughput, connections, round_trips, interactive, datagrams, idle };
enum class direction { down, up };

struct options {
    work what = work::throughput;

    std::vector<endpoint> listen; ///< target only
    route way;
    endpoint control;           ///< the target itself, for its counters; never through a proxy
    std::vector<pid_t> pids;    ///< the programs that are measured
    std::vector<pid_t> helpers; ///< target and relays: not measured, but not foreign load either

    direction towards = direction::down;
    std::size_t streams = 1;         ///< bulk streams, idle streams, or connections at once
    std::size_t beside_idle = 0;     ///< throughput: open and idle meanwhile
    std::size_t beside_stalled = 0;  ///< throughput: downloads that are not read meanwhile
    std::uint64_t stalled_bytes = 0; ///< what each of them is owed and reads at the end; 0: nothing
    std::size_t beside_bulk = 0;     ///< round_trips, interactive: bulk streams beside them
    std::uint64_t bytes = 0;         ///< a stream's payload; 0: as long as `duration`
    std::uint64_t count = 0;         ///< connections: how many; 0: as long as `duration`
    std::chrono::milliseconds duration{5000};
    std::chrono::milliseconds from{0};      ///< throughput, interactive: the window begins here
    std::chrono::milliseconds interval{50}; ///< interactive: from key to key; of questions
    std::size_t size = 40;                  ///< datagrams: bytes of each
    double rate = 0;          ///< datagrams: a second, of each association; 0: as `window` allows
    std::uint64_t window = 0; ///< datagrams: under way at most, of each association
    std::uint64_t flow = 0;   ///< datagrams: bytes of a download by datagrams beside them
    bool questions = false;   ///< datagrams: questions beside them
    std::chrono::milliseconds hold{10000};       ///< idle: before memory is read
    std::chrono::milliseconds time_limit{60000}; ///< for what must happen before and after the work
};

/// Reads the command line. Throws std::runtime_error with a sentence for the user; returns nothing
/// after it has printed the help.
std::optional<options> read_options(int argc, const char* const* argv);

} // namespace muxsocks::load
