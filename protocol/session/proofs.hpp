#pragma once

/// \file
/// What a session has been agreed on with and what proves it: the handshake's macs, and the secret
/// by which later links join.

#include "protocol/session/control.hpp"

namespace muxsocks {

/// Everything the two sides must agree on before either proves anything.
struct transcript {
    std::vector<std::uint8_t> client_hello; ///< Payloads of the CTRL frames, type byte included.
    std::vector<std::uint8_t> server_hello;
    std::vector<std::uint8_t> exporter; ///< 32 bytes of TLS keying material, or none.

    /// T of docs/PROTOCOL.md.
    digest hash(const crypto_functions& crypto, std::uint8_t method, std::string_view user) const;
};

class session_proofs {
  public:
    /// `crypto` must outlive it.
    explicit session_proofs(const crypto_functions& crypto) : crypto_(crypto) {}
    explicit session_proofs(crypto_functions&&) = delete;

    // ---- HELLO and AUTH, on the session's first link.

    /// `exporter`: TLS keying material of that link, empty without channel binding.
    void on_first_link(bytes_view exporter) {
        said_.exporter.assign(exporter.begin(), exporter.end());
    }
    void on_client_hello(bytes_view payload) {
        said_.client_hello.assign(payload.begin(), payload.end());
    }
    void on_server_hello(bytes_view payload) {
        said_.server_hello.assign(payload.begin(), payload.end());
    }
    /// AUTH.mac as it must be; both HELLOs are known. Takes the user's key over.
    digest client_mac(std::uint8_t method, std::string_view user, const digest& key);
    /// AUTH_OK.mac as it must be, of the frame without it.
    digest server_mac(const auth_ok_frame& answer) const;
    /// Authenticated: the session has its name and its secret.
    void establish(const session_id& id);

    /// For the session's state, which another process takes over.
    const digest& secret() const { return secret_; }
    void restore(const session_id& id, const digest& secret) {
        id_ = id;
        secret_ = secret;
    }

    // ---- JOIN.

    const session_id& id() const { return id_; }
    digest join_proof(link_number number, bytes_view exporter) const;
    digest join_ok_proof(link_number number, bytes_view exporter) const;

  private:
    digest link_proof(std::string_view label, link_number number, bytes_view exporter) const;

    const crypto_functions& crypto_;
    transcript said_;
    digest key_{};
    digest t_{};
    session_id id_{};
    digest secret_{};
};

} // namespace muxsocks
