#pragma once

/// \file
/// The JSON of the status listener as text for a terminal. Pure.

#include <string>

namespace muxsocks {

/// `word`: "status", "users", "streams" or "kick"; `document`: what was answered. Throws
/// std::runtime_error if that is no such document.
[[nodiscard]] std::string status_text(const std::string& word, const std::string& document,
                                      bool coloured);

} // namespace muxsocks
