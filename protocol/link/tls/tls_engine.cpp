#include "protocol/link/tls/tls_engine.hpp"

#include "protocol/link/tls/link_error.hpp"
#include "protocol/link/tls/tls_bio.hpp"
#include "protocol/link/tls/tls_diagnosis.hpp"
#include "protocol/link/tls/tls_traffic.hpp"
#include "protocol/link/tls/tls_verify.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cassert>
#include <new>

namespace muxsocks {

namespace {

constexpr std::string_view exporter_label = "EXPORTER-muxsocks";

// "[::1]" and "fe80::1%eth0" as certificates have them; names without the root's dot (RFC 6066
// section 3).
std::string bare_name(std::string_view name) {
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    if (name.find(':') != name.npos) name = name.substr(0, name.find('%'));
    if (name.ends_with('.')) name.remove_suffix(1);
    return std::string(name);
}

// Names are verified and, as SNI has no addresses, only they are announced.
bool set_server_name(SSL* ssl, const std::string& name) {
    X509_VERIFY_PARAM* const parameters = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str()) == 1) return true;
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(parameters, name.data(), name.size()) == 1 &&
           SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
}

// Why the traffic has ended.
tls_fault explain(const tls_circumstances& circumstances, const tls_traffic::received& received) {
    switch (received.how) {
    case tls_traffic::end::alert:
        return diagnose_alert(circumstances, received.alert);
    case tls_traffic::end::damaged:
        return diagnose_damage(circumstances);
    case tls_traffic::end::flood:
        return diagnose_breach(circumstances, "too many records in a row without data");
    case tls_traffic::end::internal:
        return diagnose(circumstances);
    default:
        return diagnose_breach(circumstances, "a message that has no place behind the handshake");
    }
}

} // namespace

void tls_engine::ssl_deleter::operator()(ssl_st* ssl) const { SSL_free(ssl); }

tls_engine::tls_engine(const tls_context& context, std::string_view server_name)
    : context_(context.shared_state()),
      ssl_(SSL_new(context_->ssl_ctx.get())),
      server_name_(bare_name(server_name.empty() ? context_->settings.server_name : server_name)),
      secrets_(std::make_unique<tls_secrets>()) {
    bio_ptr bio = make_tls_bio();
    if (!ssl_ || !bio) throw std::bad_alloc();
    bio_ = bio.release();
    SSL_set_bio(ssl_.get(), bio_, bio_);
}

tls_engine::tls_engine(tls_engine&&) noexcept = default;
tls_engine& tls_engine::operator=(tls_engine&&) noexcept = default;
tls_engine::~tls_engine() = default;

std::error_code tls_engine::start_handshake(output_buffer& out) {
    if (context_->settings.role == tls_role::server) {
        SSL_set_accept_state(ssl_.get());
        return {};
    }
    SSL_set_connect_state(ssl_.get());
    if (server_name_.empty() && context_->verify_chain)
        return fail({link_errc::server_name_missing,
                     make_error_code(link_errc::server_name_missing).message()});
    if (!server_name_.empty() && !set_server_name(ssl_.get(), server_name_)) {
        ERR_clear_error();
        return fail(
            {link_errc::server_name_missing, "'" + server_name_ +
                                                 "' is not a name that a certificate can bear; set "
                                                 "tls.server_name"});
    }
    tls_io io{{}, out, server_name_, {}, *secrets_};
    bool closed = false;
    return shake_hands(io, closed);
}

decrypt_result tls_engine::decrypt(std::span<const std::uint8_t> ciphertext,
                                   std::span<std::uint8_t> plain, output_buffer& out) {
    assert(!plain.empty());
    decrypt_result result;
    result.error = error_;
    if (error_) return result;
    note_first_bytes(ciphertext);
    auto rest = ciphertext;
    if (!traffic_) {
        tls_io io{ciphertext, out, server_name_, {}, *secrets_};
        result.error = shake_hands(io, result.peer_closed);
        rest = io.input;
        if (traffic_) ssl_.reset();
    }
    if (traffic_ && !result.error) {
        const auto received = traffic_->decrypt(rest, plain, out);
        result.plaintext = received.plaintext;
        result.more = received.more;
        result.peer_closed = received.how == tls_traffic::end::closed;
        if (received.how != tls_traffic::end::none && !result.peer_closed)
            result.error = fail(explain(circumstances({}), received));
    }
    result.ciphertext_used = ciphertext.size() - rest.size();
    return result;
}

// Takes what belongs to the handshake, and no byte of what follows it.
std::error_code tls_engine::shake_hands(tls_io& io, bool& peer_closed) {
    const tls_io_loan loan(bio_, io);
    ERR_clear_error();
    const int success = SSL_do_handshake(ssl_.get());
    if (success == 1) return begin_traffic(); // The loan still needs ssl_.
    const int reason = SSL_get_error(ssl_.get(), success);
    if (reason == SSL_ERROR_WANT_READ) return {};
    peer_closed = reason == SSL_ERROR_ZERO_RETURN;
    return fail(peer_closed ? diagnose_handshake_cut(circumstances(io.verdict))
                            : diagnose(circumstances(io.verdict)));
}

std::error_code tls_engine::begin_traffic() {
    // Nothing must ever be encrypted under a key that anybody can derive.
    if (secrets_->client.empty() || secrets_->server.empty())
        return fail({link_errc::tls_internal, "OpenSSL did not tell the secrets of its handshake"});
    const bool is_client = context_->settings.role == tls_role::client;
    const auto suite =
        static_cast<std::uint16_t>(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get())));
    using way = record_protection::direction;
    traffic_ = std::make_unique<tls_traffic>(
        record_protection(way::sending, suite, is_client ? secrets_->client : secrets_->server),
        record_protection(way::receiving, suite, is_client ? secrets_->server : secrets_->client),
        context_->settings.key_update_records);
    secrets_.reset();
    facts_ = settled();
    return {};
}

std::error_code tls_engine::encrypt(std::span<const std::uint8_t> plain, output_buffer& out) {
    if (error_) return error_;
    if (!traffic_ || traffic_->close_sent()) return link_errc::not_connected;
    if (traffic_->encrypt(plain, out)) return {};
    return fail(diagnose(circumstances({})));
}

void tls_engine::shutdown(output_buffer& out) {
    if (!error_ && traffic_) traffic_->close(out);
}

std::error_code tls_engine::end_of_file() {
    if (error_) return error_;
    if (!traffic_) return fail(diagnose_handshake_cut(circumstances({})));
    if (traffic_->close_received()) return {};
    return fail({link_errc::connection_cut, make_error_code(link_errc::connection_cut).message()});
}

bool tls_engine::handshake_done() const { return traffic_ != nullptr; }

std::uint64_t tls_engine::key_updates_sent() const {
    return traffic_ ? traffic_->key_updates_sent() : 0;
}

const std::array<std::uint8_t, 32>& tls_engine::exporter() const {
    assert(handshake_done());
    return facts_.exporter;
}

tls_engine::facts tls_engine::settled() const {
    facts found;
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    if (size > 0) found.alpn.assign(reinterpret_cast<const char*>(name), size);
    found.cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl_.get()));
    const char* const group =
        SSL_group_to_name(ssl_.get(), static_cast<int>(SSL_get_negotiated_group(ssl_.get())));
    found.group = group == nullptr ? "an unknown group" : group;
    found.peer_pin = peer_pin();
    const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
    if (certificate != nullptr && context_->verify_chain)
        found.peer_subject = certificate_subject(certificate);
    if (SSL_export_keying_material(ssl_.get(), found.exporter.data(), found.exporter.size(),
                                   exporter_label.data(), exporter_label.size(), nullptr, 0,
                                   0) != 1)
        // What nobody else can know fails every comparison, which zeros would not.
        random_bytes(found.exporter);
    return found;
}

std::optional<sha256_digest> tls_engine::peer_pin() const {
    if (!ssl_) return facts_.peer_pin;
    const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
    if (certificate == nullptr) return std::nullopt;
    return certificate_pin(certificate);
}

tls_circumstances tls_engine::circumstances(const tls_fault& verdict) const {
    return {*context_, verdict, first_bytes()};
}

void tls_engine::note_first_bytes(std::span<const std::uint8_t> ciphertext) {
    for (const std::uint8_t byte : ciphertext) {
        if (first_bytes_count_ == first_bytes_.size()) return;
        first_bytes_[first_bytes_count_++] = byte;
    }
}

std::span<const std::uint8_t> tls_engine::first_bytes() const {
    return {first_bytes_.data(), first_bytes_count_};
}

std::error_code tls_engine::fail(tls_fault fault) {
    error_ = fault.code;
    error_text_ = std::move(fault.text);
    return error_;
}

} // namespace muxsocks
