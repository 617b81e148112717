#pragma once

/// \file
/// What processes have used: processor time and resident memory, read from /proc, summed over given
/// processes and all of their descendants (sshd and socat fork a child a connection). Time of
/// descendants that have ended counts as soon as their parent has reaped them.

#include <cstdint>
#include <vector>

#include <sys/types.h>

namespace muxsocks::load {

struct process_usage {
    double user_seconds = 0; ///< all threads, and children that have ended
    double system_seconds = 0;
    std::uint64_t resident_bytes = 0;
    std::uint64_t anonymous_bytes = 0; ///< the part of resident_bytes that no file backs
    std::uint32_t processes = 0;

    double cpu_seconds() const { return user_seconds + system_seconds; }
};

/// One entry for each of `pids`, each with its descendants. A process that is gone counts nothing.
std::vector<process_usage> usage_of(const std::vector<pid_t>& pids);

/// The time that all processors of the machine have spent working since it started, in seconds.
double machine_busy_seconds();

/// The processor time of this process so far, in seconds.
double own_cpu_seconds();

} // namespace muxsocks::load
