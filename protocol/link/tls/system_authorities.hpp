#pragma once

/// \file
/// The certificates of the authorities that this system trusts. OpenSSL looks where the system that
/// it was built for has them; a program that runs on another one finds them here.

#include <filesystem>
#include <openssl/types.h>
#include <optional>

namespace muxsocks {

/// The first file, of those in which distributions keep all of them, that is there below `root`;
/// nothing if none is.
std::optional<std::filesystem::path>
system_authorities_file(const std::filesystem::path& root = "/");

/// Lets the store trust what the system trusts: what $SSL_CERT_FILE and $SSL_CERT_DIR name, else
/// what is at OpenSSL's own place, else system_authorities_file(). Whether OpenSSL accepted it;
/// that nothing was found is no failure.
bool trust_system_authorities(X509_STORE* store);

} // namespace muxsocks
