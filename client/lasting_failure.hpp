#pragma once

/// \file
/// Failures of a link that do not pass by themselves: somebody has to mend a token, a certificate
/// or a configuration first.

#include <string_view>
#include <system_error>

namespace muxsocks::client {

bool is_lasting(std::error_code why);

/// What a peer that ended the session with `why` and this text has found, where the text tells.
std::error_code cause_of(std::error_code why, std::string_view peer_text);

} // namespace muxsocks::client
