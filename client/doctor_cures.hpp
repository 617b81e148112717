#pragma once

/// \file
/// What to do when a step towards the server fails, for people.

#include <string>
#include <system_error>

namespace muxsocks::client {

/// Nothing at all comes of what the two sides say to each other.
extern const char* const alike_cure;

/// No TLS came about, or it ended with a certificate that was missed.
const char* tls_cure(std::error_code why);

/// TLS is up and no session came about.
const char* session_cure(std::error_code why, const std::string& peer_text, bool tls);

} // namespace muxsocks::client
