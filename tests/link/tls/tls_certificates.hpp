#pragma once

/// \file
/// Certificates for tests, made when they are needed: nothing in the tree expires. Keys are P-256.

#include "protocol/link/tls/openssl_handle.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace muxsocks::test {

struct certificate_fields {
    std::string common_name = "muxsocks test";
    /// As OpenSSL writes it: "DNS:a.example,IP:127.0.0.1". Empty: none.
    std::string alternative_names = "DNS:server.example,DNS:*.wild.example,IP:127.0.0.1,IP:::1";
    bool is_ca = false;
    /// From now, in days; negative is past.
    int not_before_days = -1;
    int not_after_days = 30;
};

/// A certificate with its key.
struct credential {
    x509_ptr certificate;
    evp_pkey_ptr key;

    std::string certificate_pem() const;
    std::string key_pem() const;
    /// PKCS#8, under the password "secret".
    std::string encrypted_key_pem() const;
};

/// Self-signed without an issuer.
credential make_credential(const certificate_fields& fields, const credential* issuer = nullptr);
credential make_ca(const std::string& common_name, const credential* issuer = nullptr);

/// A folder that goes when it goes.
class temp_dir {
  public:
    temp_dir();
    ~temp_dir();
    temp_dir(const temp_dir&) = delete;
    temp_dir& operator=(const temp_dir&) = delete;

    std::string path() const { return path_.string(); }
    /// Writes a file and returns its full path.
    std::string write(const std::string& name, std::string_view content) const;

  private:
    std::filesystem::path path_;
};

} // namespace muxsocks::test
