#pragma once

/// \file
/// Tokens that the server makes for its users.

#include <string>

namespace muxsocks::server {

/// 256 random bits, in letters that need no quoting anywhere.
[[nodiscard]] std::string make_token();

/// What server.json keeps of it: `token_sha256`.
[[nodiscard]] std::string token_digest_text(const std::string& token);

} // namespace muxsocks::server
