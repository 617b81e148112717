#pragma once

/// \file
/// A key and a certificate that signs itself: enough where clients pin the key.

#include "protocol/link/tls/crypto.hpp"

#include <string>

namespace muxsocks {

struct key_and_certificate {
    std::string key_pem; ///< PKCS #8, not encrypted.
    std::string certificate_pem;
    sha256_digest pin; ///< As clients have it in tls.pin_sha256.
};

/// A P-256 key and a certificate for `host` (a name or an IP address), good for ten years. Throws
/// std::runtime_error if OpenSSL fails.
key_and_certificate make_self_signed(const std::string& host);

} // namespace muxsocks
