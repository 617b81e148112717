#include "protocol/link/tls/system_authorities.hpp"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cstdlib>

namespace muxsocks {

namespace {

namespace fs = std::filesystem;

/// Below the root, the likeliest first.
constexpr const char* authority_files[] = {
    "etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Alpine, Arch, Gentoo, NixOS
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL, Alma, Rocky
    "etc/pki/tls/certs/ca-bundle.crt",                  // the same, before
    "etc/ssl/ca-bundle.pem",                            // SUSE
    "var/lib/ca-certificates/ca-bundle.pem",            // the same
    "etc/ssl/cert.pem",                                 // Alpine, OpenWrt
    "data/data/com.termux/files/usr/etc/tls/cert.pem",  // Termux
};

/// Whether OpenSSL would find anything at its own place.
bool has_own_place() {
    std::error_code error;
    if (fs::exists(X509_get_default_cert_file(), error)) return true;
    const fs::directory_iterator entries(X509_get_default_cert_dir(), error);
    return !error && entries != fs::directory_iterator();
}

} // namespace

std::optional<fs::path> system_authorities_file(const fs::path& root) {
    for (const char* name : authority_files) {
        fs::path file = root / name;
        std::error_code error;
        if (fs::is_regular_file(file, error)) return file;
    }
    return std::nullopt;
}

bool trust_system_authorities(X509_STORE* store) {
    if (X509_STORE_set_default_paths(store) != 1) return false;
    if (std::getenv(X509_get_default_cert_file_env()) ||
        std::getenv(X509_get_default_cert_dir_env()) || has_own_place())
        return true;
    // As at OpenSSL's own place, what cannot be read is as if it were not there.
    if (const auto file = system_authorities_file()) {
        (void)X509_STORE_load_file(store, file->c_str());
        ERR_clear_error();
    }
    return true;
}

} // namespace muxsocks
