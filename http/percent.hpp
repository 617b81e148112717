#pragma once

/// \file
/// Percent-encoding (RFC 3986, section 2.1).

#include <optional>
#include <string>
#include <string_view>

namespace muxsocks::http {

/// The bytes that `text` stands for. Nothing if a "%" has no two digits behind it.
std::optional<std::string> percent_decoded(std::string_view text);

} // namespace muxsocks::http
