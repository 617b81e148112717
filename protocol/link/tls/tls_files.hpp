#pragma once

/// \file
/// Certificates and keys from PEM files. Whatever is wrong is thrown as a std::runtime_error whose
/// sentence names the file, the configuration's key for it, the cause and the cure.

#include "protocol/link/tls/openssl_handle.hpp"

#include <optional>
#include <string>
#include <vector>

namespace muxsocks {

/// All certificates of the file, in its order; at least one. `key` is the configuration's, such as
/// "tls.cert". Other things between them, such as a private key, are passed over.
std::vector<x509_ptr> read_certificates(const std::string& file, const std::string& key);

/// The first private key of the file, which must not be encrypted.
evp_pkey_ptr read_private_key(const std::string& file, const std::string& key);

/// The subject of the first of the certificates that is among those that the system trusts; nothing
/// if none is.
std::optional<std::string> trusted_by_system(const std::vector<x509_ptr>& certificates);

/// OpenSSL's own words for the latest error of this thread, which is then forgotten.
std::string take_openssl_reason();

} // namespace muxsocks
