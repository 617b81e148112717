#pragma once

/// \file
/// The works that the load generator knows. Each runs to its end and returns the result that is
/// printed; what happened to the streams is added to `ends`. benchmarks/README.md explains every
/// field.

#include "benchmarks/load/measurement.hpp"

namespace muxsocks::load {

/// Bulk transfers, if asked for beside idle streams or beside downloads that are not read.
json measure_throughput(const options& what, outcome& ends);

/// Opens, echoes a byte, closes: connections a second.
json measure_connections(const options& what, outcome& ends);

/// A byte to and fro, if asked for beside bulk transfers.
json measure_round_trips(const options& what, outcome& ends);

/// Somebody who types, and one who opens connections, beside bulk transfers.
json measure_interactive(const options& what, outcome& ends);

/// Datagrams to and fro, if asked for beside bulk transfers, a download by datagrams, and
/// questions.
json measure_datagrams(const options& what, outcome& ends);

/// Memory of streams that lie idle, and the time to open them.
json measure_idle(const options& what, outcome& ends);

} // namespace muxsocks::load
