#pragma once

/// \file
/// Writing files that hold secrets: mode 0600 from the first moment, whole or not at all.

#include <filesystem>
#include <string>
#include <sys/types.h>

namespace muxsocks {

/// Writes a file next to its place and moves it there, so that a reader sees the old text or the
/// new one. With `replace` false an existing file is refused. Throws std::runtime_error with a
/// sentence that names file, cause and cure.
void write_secret_file(const std::filesystem::path& path, const std::string& text, bool replace);

/// The group's number; throws std::runtime_error if this machine has no such group.
[[nodiscard]] ::gid_t group_id(const std::string& name);

/// Lets the members of the group read the file, and nobody else but its owner: mode 0640. Throws
/// std::runtime_error if the file cannot be given to it.
void share_with_group(const std::filesystem::path& path, ::gid_t group);

} // namespace muxsocks
