#pragma once

/// \file
/// Tokens and passwords on their way into a configuration: from files, from the environment, and
/// whether a token is strong enough. Nothing here ever puts a secret into an error.

#include "protocol/program/settings.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace muxsocks {

/// K of docs/PROTOCOL.md: SHA-256 of the token's bytes.
[[nodiscard]] sha256_digest token_digest(std::string_view token);

/// What is wrong with `token`, as the end of a sentence that begins with the key; nothing if it can
/// carry 128 bits: at least 22 characters, 32 if all are hexadecimal digits, 39 if all are decimal
/// ones; visible ASCII without blanks; and at least 8 different characters, which a random one has
/// with near certainty and "aaaaaaaaaaaaaaaaaaaaaa" has not.
[[nodiscard]] std::optional<std::string> token_fault(std::string_view token);

/// What is wrong with a token of which only the digest is known: it is the digest of nothing, of
/// the empty token, or of a token that everybody can read in the documents.
[[nodiscard]] std::optional<std::string> token_digest_fault(const sha256_digest& digest);

/// The variable's name if `text` is "${NAME}"; nothing if it is no reference at all.
[[nodiscard]] std::optional<std::string> environment_reference(std::string_view text);

/// Contents of a secret's file without the line end that editors leave behind. Throws config_error
/// (beginning with `where`) if it cannot be read, is empty or longer than 64 KiB.
[[nodiscard]] std::string read_secret_file(const std::string& path, const std::string& where);

/// A sentence for the log if every user of this machine may read the file at `path`.
[[nodiscard]] std::optional<std::string> world_readable_warning(const std::string& path);

/// Throws config_error (beginning with `where`), with the system's reason, if `path` cannot be
/// opened for reading or is a folder.
void require_readable(const std::string& path, const std::string& where);

} // namespace muxsocks
