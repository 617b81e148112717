#pragma once

/// \file
/// What the handshake and the resumption prove, and with which bytes (docs/PROTOCOL.md,
/// "Handshake", "Resumption"). Cryptography itself comes in as functions.

#include "protocol/control.hpp"

#include <functional>
#include <optional>

namespace muxsocks {

/// The primitives that the core needs. All three must be set.
struct crypto_functions {
    digest (*sha256)(std::span<const bytes_view> parts) = nullptr;
    digest (*hmac_sha256)(bytes_view key, std::span<const bytes_view> parts) = nullptr;
    void (*random_bytes)(bytes_span out) = nullptr;
};

/// Whether two secrets are equal, in time that depends on the length alone.
bool equal_in_constant_time(bytes_view a, bytes_view b);

/// Everything the two sides must agree on before either proves anything.
struct transcript {
    std::vector<std::uint8_t> client_hello; ///< Payloads of the CTRL frames, type byte included.
    std::vector<std::uint8_t> server_hello;
    std::vector<std::uint8_t> exporter; ///< 32 bytes of TLS keying material, or none.

    /// T of docs/PROTOCOL.md.
    digest hash(const crypto_functions& crypto, std::uint8_t method, std::string_view user) const;
};

digest client_auth_mac(const crypto_functions& crypto, const digest& key, const digest& t);
digest server_auth_mac(const crypto_functions& crypto, const digest& key, const digest& t,
                       const auth_ok_frame& frame);
/// Known to both sides, never sent.
digest resume_secret(const crypto_functions& crypto, const digest& key, const digest& t,
                     const session_id& id);

digest client_resume_proof(const crypto_functions& crypto, const digest& secret,
                           const resume_frame& frame, bytes_view exporter);
/// `asked` is the RESUME that is answered.
digest server_resume_proof(const crypto_functions& crypto, const digest& secret,
                           const resume_frame& asked, const resume_ok_frame& answer,
                           bytes_view exporter);

} // namespace muxsocks
