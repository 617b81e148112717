#pragma once

/// \file
/// From settings to an SSL_CTX: TLS 1.3 only, ciphers, verification, pins, ALPN. A context never
/// changes and is cheap to copy; engines share it and keep it alive. To read renewed certificates,
/// make a new context: old engines keep the old one.

#include "protocol/link/tls/crypto.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

/// The ALPN name of version 2 (docs/PROTOCOL.md).
inline constexpr std::string_view alpn_name = "muxsocks/2";

enum class tls_role { client, server };

/// Texts are empty where nothing is set. Files are PEM.
struct tls_settings {
    tls_role role = tls_role::client;

    /// Client: the CAs to trust. Empty: the system's, unless there are pins.
    std::string ca_file;
    /// Client: the name (or IP address) that the certificate must bear. An engine may have its own.
    std::string server_name;
    /// Client: the keys that the server may have, each as parse_pin takes it; one must match. Pins
    /// alone replace chain, name and dates; with `ca_file` both must hold.
    std::vector<std::string> pins;

    /// Server: needed. Client: for a server that asks for it. The certificate, then those of its
    /// issuers.
    std::string certificate_file;
    /// Not encrypted.
    std::string key_file;

    /// Server: clients must have a certificate of one of these CAs.
    std::string client_ca_file;

    /// TLS records sent under one key; well below the 2^24.5 of RFC 8446 section 5.5.
    std::uint64_t key_update_records = std::uint64_t{1} << 22;
    /// Whether the processor computes AES in hardware. Found out when not set.
    std::optional<bool> aes_in_hardware;
};

class tls_context {
  public:
    /// Reads all files. Throws std::runtime_error with a sentence that names the file, the cause
    /// and the cure.
    explicit tls_context(const tls_settings& settings);

    tls_role role() const;
    /// When our own certificate ends; nothing without one.
    std::optional<std::chrono::system_clock::time_point> certificate_not_after() const;
    /// SHA-256 of our own certificate's SubjectPublicKeyInfo; nothing without one.
    std::optional<sha256_digest> certificate_pin() const;

    struct state;
    const std::shared_ptr<const state>& shared_state() const { return state_; }

  private:
    std::shared_ptr<const state> state_;
};

/// The digest of a pin: base64 (either alphabet) or hex (colons allowed), bare or behind "sha256:",
/// "sha256/" or "sha256//". Nothing if it is not that.
std::optional<sha256_digest> parse_pin(std::string_view text);
/// "sha256:" and base64.
std::string pin_text(const sha256_digest& pin);
/// SHA-256 of the SubjectPublicKeyInfo of the first certificate in a PEM file. Throws
/// std::runtime_error with a sentence.
sha256_digest spki_pin_of(const std::string& certificate_file);

} // namespace muxsocks
