#include "protocol/link/tls/tls_context.hpp"

#include "protocol/link/tls/system_authorities.hpp"
#include "protocol/link/tls/tls_bio.hpp"
#include "protocol/link/tls/tls_context_state.hpp"
#include "protocol/link/tls/tls_files.hpp"
#include "protocol/link/tls/tls_verify.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <stdexcept>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace muxsocks {

namespace {

// Without AES in hardware ChaCha20 is several times as fast, with it AES-128 is the fastest.
constexpr const char* ciphers_aes_first =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* ciphers_chacha_first =
    "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384";
// What is recorded today is not to be read by a quantum computer later (browsers and OpenSSH do the
// same); OpenSSL has it from 3.5 on. Its hello is longer than one packet.
constexpr const char* groups_hybrid_first = "X25519MLKEM768:X25519:P-256:P-384";
constexpr const char* groups = "X25519:P-256:P-384";

bool processor_has_aes() {
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
    return false;
#endif
}

void require_accepted(bool success, const char* what) {
    if (!success)
        throw std::runtime_error(std::string("OpenSSL refuses ") + what + ": " +
                                 take_openssl_reason());
}

// The names in a ClientHello's list are each preceded by a byte with their length.
int select_alpn(SSL*, const unsigned char** selected, unsigned char* selected_size,
                const unsigned char* offered, unsigned offered_size, void*) {
    for (unsigned at = 0; at < offered_size; at += 1U + offered[at]) {
        const std::size_t size = offered[at];
        if (size == alpn_name.size() && at + size < offered_size &&
            std::memcmp(offered + at + 1, alpn_name.data(), size) == 0) {
            *selected = offered + at + 1;
            *selected_size = static_cast<unsigned char>(size);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// OpenSSL gives the secrets of a handshake away in lines of a text (the format of NSS's key logs):
// LABEL, the client's random, and the secret in hex.
void take_secret(const SSL* ssl, const char* line) {
    const std::string_view text(line);
    auto& secrets = lent_io(ssl).secrets;
    traffic_secret* wanted = nullptr;
    if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) wanted = &secrets.client;
    if (text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) wanted = &secrets.server;
    if (wanted == nullptr) return;
    auto bytes = from_hex(text.substr(text.rfind(' ') + 1));
    if (!bytes) return;
    *wanted = traffic_secret(*bytes);
    OPENSSL_cleanse(bytes->data(), bytes->size());
}

void set_protocol(SSL_CTX* ctx, const tls_settings& settings) {
    require_accepted(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
                         SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1,
                     "TLS 1.3");
    const bool aes = settings.aes_in_hardware.value_or(processor_has_aes());
    require_accepted(
        SSL_CTX_set_ciphersuites(ctx, aes ? ciphers_aes_first : ciphers_chacha_first) == 1,
        "the ciphers of TLS 1.3");
    if (SSL_CTX_set1_groups_list(ctx, groups_hybrid_first) != 1) {
        ERR_clear_error();
        require_accepted(SSL_CTX_set1_groups_list(ctx, groups) == 1,
                         "the groups for the key exchange");
    }
    // The server's order holds, except for a client that puts ChaCha20 first because it lacks AES.
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_NO_TICKET);
    // Links are resumed by muxsocks itself: TLS keeps no sessions, and sends no tickets.
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_max_early_data(ctx, 0);
    // An idle connection holds no record buffers.
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(ctx, 0);
    // What comes behind the handshake is tls_traffic's.
    SSL_CTX_set_keylog_callback(ctx, take_secret);
}

void set_alpn(SSL_CTX* ctx, tls_role role) {
    if (role == tls_role::server) {
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, nullptr);
        return;
    }
    std::string list(1, static_cast<char>(alpn_name.size()));
    list += alpn_name;
    require_accepted(SSL_CTX_set_alpn_protos(ctx,
                                             reinterpret_cast<const unsigned char*>(list.data()),
                                             static_cast<unsigned>(list.size())) == 0,
                     "the ALPN name");
}

void set_certificate(tls_context::state& state) {
    const tls_settings& settings = state.settings;
    if (settings.certificate_file.empty() && settings.key_file.empty()) {
        if (settings.role == tls_role::client) return;
        throw std::runtime_error("a TLS server needs a certificate: set tls.cert and tls.key");
    }
    if (settings.certificate_file.empty() || settings.key_file.empty())
        throw std::runtime_error("tls.cert and tls.key belong together: set both or none");
    const auto chain = read_certificates(settings.certificate_file, "tls.cert");
    const auto key = read_private_key(settings.key_file, "tls.key");
    X509* const certificate = chain.front().get();
    if (X509_check_private_key(certificate, key.get()) != 1) {
        ERR_clear_error();
        throw std::runtime_error("the private key in '" + settings.key_file +
                                 "' (tls.key) does not belong to the certificate in '" +
                                 settings.certificate_file +
                                 "' (tls.cert), which must be the first one of its file");
    }
    SSL_CTX* const ctx = state.ssl_ctx.get();
    bool good = SSL_CTX_use_certificate(ctx, certificate) == 1 &&
                SSL_CTX_use_PrivateKey(ctx, key.get()) == 1;
    for (std::size_t i = 1; i < chain.size(); ++i)
        good = good && SSL_CTX_add1_chain_cert(ctx, chain[i].get()) == 1;
    if (!good)
        throw std::runtime_error("the certificate in '" + settings.certificate_file +
                                 "' (tls.cert) cannot be used: " + take_openssl_reason() +
                                 "; make a new one, for example with a P-256 key");
    state.certificate_not_after = time_of(X509_get0_notAfter(certificate));
    state.certificate_pin = certificate_pin(certificate);
}

// A CA that is named here is trusted even if it is an intermediate one.
void trust(SSL_CTX* ctx, const std::vector<x509_ptr>& cas) {
    X509_STORE* const store = SSL_CTX_get_cert_store(ctx);
    for (const auto& ca : cas) {
        // What OpenSSL derives from a certificate it derives at its first use, which would be in
        // any thread, with others beside it.
        (void)X509_check_purpose(ca.get(), -1, 0);
        require_accepted(X509_STORE_add_cert(store, ca.get()) == 1, "a CA's certificate");
    }
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
}

void set_server_verification(tls_context::state& state) {
    const std::string& ca_file = state.settings.ca_file;
    for (const std::string& text : state.settings.pins) {
        const auto pin = parse_pin(text);
        if (!pin)
            throw std::runtime_error(
                "'" + text +
                "' (tls.pin_sha256) is not a pin; expected the "
                "SHA-256 of the server's public key as 44 characters of base64 "
                "or 64 hex digits");
        state.pins.push_back(*pin);
    }
    SSL_CTX* const ctx = state.ssl_ctx.get();
    state.verify_chain = state.pins.empty() || !ca_file.empty();
    if (!ca_file.empty())
        trust(ctx, read_certificates(ca_file, "tls.ca"));
    else if (state.verify_chain)
        require_accepted(trust_system_authorities(SSL_CTX_get_cert_store(ctx)), "the system's CAs");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
}

void set_client_verification(tls_context::state& state) {
    const std::string& ca_file = state.settings.client_ca_file;
    if (ca_file.empty()) return;
    SSL_CTX* const ctx = state.ssl_ctx.get();
    const auto cas = read_certificates(ca_file, "tls.client_ca");
    trust(ctx, cas);
    for (const auto& ca : cas)
        require_accepted(SSL_CTX_add_client_CA(ctx, ca.get()) == 1, "the name of a client CA");
    state.verify_chain = true;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
}

} // namespace

tls_context::tls_context(const tls_settings& settings) {
    const auto fresh = std::make_shared<state>();
    fresh->settings = settings;
    ERR_clear_error();
    fresh->ssl_ctx.reset(
        SSL_CTX_new(settings.role == tls_role::client ? TLS_client_method() : TLS_server_method()));
    SSL_CTX* const ctx = fresh->ssl_ctx.get();
    require_accepted(ctx != nullptr, "to make a TLS context");
    set_protocol(ctx, settings);
    set_alpn(ctx, settings.role);
    set_certificate(*fresh);
    if (settings.role == tls_role::client)
        set_server_verification(*fresh);
    else
        set_client_verification(*fresh);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, fresh.get());
    state_ = fresh;
}

tls_role tls_context::role() const { return state_->settings.role; }

std::optional<std::chrono::system_clock::time_point> tls_context::certificate_not_after() const {
    return state_->certificate_not_after;
}

std::optional<sha256_digest> tls_context::certificate_pin() const {
    return state_->certificate_pin;
}

std::optional<sha256_digest> parse_pin(std::string_view text) {
    std::string hex;
    const auto decode = [&](std::string_view digits) -> std::optional<sha256_digest> {
        hex.clear();
        std::remove_copy(digits.begin(), digits.end(), std::back_inserter(hex), ':');
        sha256_digest pin;
        const auto bytes = hex.size() == 2 * pin.size() ? from_hex(hex) : from_base64(digits);
        if (!bytes || bytes->size() != pin.size()) return std::nullopt;
        std::copy(bytes->begin(), bytes->end(), pin.begin());
        return pin;
    };
    if (text.starts_with("sha256:") || text.starts_with("sha256/")) text.remove_prefix(7);
    if (const auto pin = decode(text)) return pin;
    // The second slash of "sha256//"; base64 may also begin with a slash, but then it is longer.
    return text.starts_with('/') ? decode(text.substr(1)) : std::nullopt;
}

std::string pin_text(const sha256_digest& pin) { return "sha256:" + to_base64(pin); }

sha256_digest spki_pin_of(const std::string& certificate_file) {
    return certificate_pin(read_certificates(certificate_file, "tls.cert").front().get());
}

} // namespace muxsocks
