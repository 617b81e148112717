#pragma once

/// \file
/// What the protocol needs of cryptography, on OpenSSL: SHA-256, HMAC-SHA256, random bytes,
/// comparison in constant time, and the two text forms of digests and keys. Callable from any
/// thread. The core (protocol/) gets these as functions and knows no OpenSSL.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

using sha256_digest = std::array<std::uint8_t, 32>;

/// SHA-256 of `bytes` (FIPS 180-4).
sha256_digest sha256(std::span<const std::uint8_t> bytes);
/// SHA-256 of the parts, one behind the other.
sha256_digest sha256(std::span<const std::span<const std::uint8_t>> parts);

/// HMAC-SHA256 (RFC 2104) of the parts, one behind the other, under a key of any length.
sha256_digest hmac_sha256(std::span<const std::uint8_t> key,
                          std::span<const std::span<const std::uint8_t>> parts);

/// Fills `out` with unpredictable bytes. Without a source of randomness nothing is safe, so that
/// throws std::runtime_error.
void random_bytes(std::span<std::uint8_t> out);

/// Two lower-case digits a byte.
std::string to_hex(std::span<const std::uint8_t> bytes);
/// Of an even number of digits, upper or lower case, nothing between them; nothing if it is not
/// that.
std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text);

/// RFC 4648 section 4, padded, no line breaks.
std::string to_base64(std::span<const std::uint8_t> bytes);
/// RFC 4648 sections 4 and 5 (both alphabets), padded or not, nothing between the digits; nothing
/// if it is not that.
std::optional<std::vector<std::uint8_t>> from_base64(std::string_view text);

} // namespace muxsocks
