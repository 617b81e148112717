#pragma once

/// \file
/// The journal of systemd as a place for the log: a line becomes a record with fields, instead of a
/// text in which level and reason are words. The records are those of journald's native protocol
/// (systemd, "Native Journal Protocol"), one datagram each, so small a protocol that no library is
/// linked for it, which static programs could not take in.

#include <string>
#include <string_view>

namespace muxsocks::journal {

inline constexpr const char* socket_path = "/run/systemd/journal/socket";

/// Whether the descriptor leads into the journal: `stream`, the variable $JOURNAL_STREAM, has its
/// device and inode. (Processes inherit the variable whose standard error is somewhere else.)
[[nodiscard]] bool is_stream(int descriptor, std::string_view stream);

/// A socket to the journal that never makes a writer wait, or -1 with errno.
[[nodiscard]] int open(const std::string& path = socket_path);

/// Between the parts of a line that is meant for the journal, neither of which has it: priority,
/// reason, message.
inline constexpr char separator = '\x1f';

/// The record of such a line, without its end. A line that is none becomes the message of a record.
[[nodiscard]] std::string record(std::string_view line);

} // namespace muxsocks::journal
