#pragma once

/// \file
/// Whether the peer is who it should be: chain, name and dates by OpenSSL, pins by us, and for
/// every refusal a sentence with what was found and what to do. Also reads certificates' fields as
/// text; what comes from a certificate is escaped.

#include "protocol/link/tls/tls_context_state.hpp"

namespace muxsocks {

/// For SSL_CTX_set_cert_verify_callback, with the context's state as `argument`. Leaves the reason
/// of a refusal in the verdict of the call under way.
int verify_peer(X509_STORE_CTX* store, void* argument);

/// SHA-256 of the certificate's SubjectPublicKeyInfo (RFC 7469 section 2.4).
sha256_digest certificate_pin(const X509* certificate);
/// RFC 4514, at most some 300 characters.
std::string certificate_subject(const X509* certificate);
/// Nothing if the certificate's date is none.
std::optional<std::chrono::system_clock::time_point> time_of(const ASN1_TIME* time);

} // namespace muxsocks
