#pragma once

/// \file
/// The cryptography that the core needs comes in as functions.

#include "protocol/byte_order.hpp"

#include <array>
#include <string_view>
#include <vector>

namespace muxsocks {

using digest = std::array<std::uint8_t, 32>;
using nonce16 = std::array<std::uint8_t, 16>;

/// The primitives. All three must be set.
struct crypto_functions {
    digest (*sha256)(std::span<const bytes_view> parts) = nullptr;
    digest (*hmac_sha256)(bytes_view key, std::span<const bytes_view> parts) = nullptr;
    void (*random_bytes)(bytes_span out) = nullptr;
};

/// Whether two secrets are equal, in time that depends on the length alone.
bool equal_in_constant_time(bytes_view a, bytes_view b);

/// K: SHA-256 of the token; 32 zero bytes without one.
digest token_key(const crypto_functions& crypto, std::string_view token);

inline bytes_view bytes_of_text(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

} // namespace muxsocks
