#pragma once

/// \file
/// K of docs/PROTOCOL.md, as the programs compute it where they read their configuration.

#include "protocol/session/crypto.hpp"

namespace muxsocks::tests {

/// SHA-256 of the token; 32 zero bytes without one.
inline digest token_key(const crypto_functions& crypto, std::string_view token) {
    if (token.empty()) return {};
    const bytes_view parts[] = {
        {reinterpret_cast<const std::uint8_t*>(token.data()), token.size()}};
    return crypto.sha256(std::span(parts));
}

} // namespace muxsocks::tests
