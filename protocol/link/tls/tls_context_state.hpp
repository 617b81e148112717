#pragma once

/// \file
/// What the parts of the TLS engine share and nobody else sees: the inside of a tls_context, and
/// what one call of an engine lends to OpenSSL's callbacks.

#include "protocol/link/loop/output_buffer.hpp"
#include "protocol/link/tls/openssl_handle.hpp"
#include "protocol/link/tls/tls_context.hpp"
#include "protocol/link/tls/tls_protection.hpp"

#include <system_error>

namespace muxsocks {

/// A code, and the sentence with the details that the code alone does not have.
struct tls_fault {
    std::error_code code;
    std::string text;
};

/// The first traffic secrets of both directions, once the handshake has made them.
struct tls_secrets {
    traffic_secret client;
    traffic_secret server;
};

/// Lent to OpenSSL through the BIO for the length of one call, so that nothing points into an
/// engine between calls.
struct tls_io {
    /// Ciphertext not yet taken.
    std::span<const std::uint8_t> input;
    output_buffer& output;
    /// The name that the peer's certificate must bear.
    const std::string& server_name;
    /// What the verification of the peer's certificate found, if it failed.
    tls_fault verdict;
    /// Filled by the handshake.
    tls_secrets& secrets;
};

struct tls_context::state {
    tls_settings settings;
    std::vector<sha256_digest> pins;
    /// Whether the peer's chain (and on a client name and dates) must be good.
    bool verify_chain = false;
    std::optional<std::chrono::system_clock::time_point> certificate_not_after;
    std::optional<sha256_digest> certificate_pin;
    ssl_ctx_ptr ssl_ctx;
};

} // namespace muxsocks
