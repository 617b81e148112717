#pragma once

/// \file
/// What is shown of one session and of its streams, the same in both programs. In the session's
/// thread.

#include "protocol/link/session_driver.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/snapshot.hpp"

namespace muxsocks {

/// Without `user` and `reason`, which the session does not know.
[[nodiscard]] session_snapshot show(const session_driver& driver, program_role role,
                                    std::string name);

/// Adds one session to the sums.
void add(const session_driver& driver, session_sums& to);

/// Adds the streams of the session that is called `name`, those that have carried most.
void show_streams(session_driver& driver, const std::string& name, heaviest<stream_snapshot>& to);

} // namespace muxsocks
