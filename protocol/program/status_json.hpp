#pragma once

/// \file
/// A snapshot as the JSON documents of the status listener. docs/STATUS.md says what they hold; a
/// member that is there once stays, with its meaning, as long as "version" is 1.

#include "protocol/program/metrics.hpp"
#include "protocol/program/snapshot.hpp"
#include "protocol/program/status_history.hpp"

#include <string>

namespace muxsocks::status_json {

/// Which program it is.
[[nodiscard]] std::string program(const process_facts& process);
/// All but lists of streams: what the page shows at once.
[[nodiscard]] std::string status(const process_facts& process, const snapshot& now);
/// `status` with the busiest streams, and of users the busiest, for the page.
[[nodiscard]] std::string live(const process_facts& process, const snapshot& now);
[[nodiscard]] std::string links(const process_facts& process, const snapshot& now);
[[nodiscard]] std::string sessions(const process_facts& process, const snapshot& now);
[[nodiscard]] std::string history(const status_history& past);
[[nodiscard]] std::string streams(const process_facts& process, const snapshot& now);
[[nodiscard]] std::string users(const process_facts& process, const snapshot& now);
[[nodiscard]] std::string usage(const process_facts& process, const snapshot& now);
[[nodiscard]] std::string error(const std::string& sentence);

} // namespace muxsocks::status_json
