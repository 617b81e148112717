#include "protocol/link/tls_engine.hpp"

#include "protocol/link/link_error.hpp"
#include "protocol/link/tls_bio.hpp"
#include "protocol/link/tls_diagnosis.hpp"
#include "protocol/link/tls_verify.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cassert>
#include <new>

namespace muxsocks {

namespace {

constexpr std::size_t record_plaintext_max = 16384; // RFC 8446 section 5.1
// Header 5, content type 1, tag 16 (RFC 8446 section 5.2; the same for all our ciphers).
constexpr std::size_t record_overhead = 22;
// A key update's record, which may go before the data.
constexpr std::size_t key_update_room = 64;

constexpr std::size_t record_count(std::size_t plaintext_bytes) {
    return (plaintext_bytes + record_plaintext_max - 1) / record_plaintext_max;
}

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

} // namespace

void tls_engine::ssl_deleter::operator()(ssl_st* ssl) const { SSL_free(ssl); }

tls_engine::tls_engine(const tls_context& context, std::string_view server_name)
    : context_(context.shared_state()),
      ssl_(SSL_new(context_->ssl_ctx.get())),
      server_name_(bare_name(server_name.empty() ? context_->settings.server_name : server_name)) {
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
    tls_io io{{}, out, server_name_, {}};
    const tls_io_loan loan(bio_, io);
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return {};
    return fail(diagnose({*context_, io.verdict, {}}));
}

decrypt_result tls_engine::decrypt(std::span<const std::uint8_t> ciphertext,
                                   std::span<std::uint8_t> plain, output_buffer& out) {
    assert(!plain.empty());
    decrypt_result result;
    result.error = error_;
    if (error_) return result;
    note_first_bytes(ciphertext);
    tls_io io{ciphertext, out, server_name_, {}};
    const tls_io_loan loan(bio_, io);
    ERR_clear_error();
    bool wants_more = false;
    while (result.plaintext < plain.size() && !wants_more) {
        const auto room = plain.subspan(result.plaintext);
        std::size_t bytes = 0;
        const int success = SSL_read_ex(ssl_.get(), room.data(), room.size(), &bytes);
        result.plaintext += bytes;
        if (success == 1) continue;
        const int reason = SSL_get_error(ssl_.get(), success);
        wants_more = true;
        result.peer_closed = reason == SSL_ERROR_ZERO_RETURN;
        if (result.peer_closed && !handshake_done())
            result.error = fail(diagnose_handshake_cut({*context_, {}, first_bytes()}));
        else if (!result.peer_closed && reason != SSL_ERROR_WANT_READ)
            result.error = fail(diagnose({*context_, io.verdict, first_bytes()}));
    }
    result.ciphertext_used = ciphertext.size() - io.input.size();
    result.more = !wants_more && (!io.input.empty() || SSL_pending(ssl_.get()) > 0);
    return result;
}

std::error_code tls_engine::encrypt(std::span<const std::uint8_t> plain, output_buffer& out) {
    if (error_) return error_;
    if (!handshake_done() || (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) != 0)
        return link_errc::not_connected;
    if (plain.empty()) return {};
    const std::size_t records = record_count(plain.size());
    out.prepare(plain.size() + records * record_overhead + key_update_room);
    tls_io io{{}, out, server_name_, {}};
    const tls_io_loan loan(bio_, io);
    ERR_clear_error();
    // OpenSSL sends the update in front of the data that follows, and changes its key behind it.
    if (records_sent_ >= context_->settings.key_update_records &&
        SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1) {
        records_sent_ = 0;
        ++key_updates_sent_;
    }
    records_sent_ += records;
    std::size_t written = 0;
    if (SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written) == 1) return {};
    return fail(diagnose({*context_, io.verdict, first_bytes()}));
}

void tls_engine::shutdown(output_buffer& out) {
    if (error_ || !handshake_done()) return;
    tls_io io{{}, out, server_name_, {}};
    const tls_io_loan loan(bio_, io);
    ERR_clear_error();
    if ((SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) == 0) SSL_shutdown(ssl_.get());
    ERR_clear_error();
}

std::error_code tls_engine::end_of_file() {
    if (error_) return error_;
    if ((SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0) return {};
    if (!handshake_done()) return fail(diagnose_handshake_cut({*context_, {}, first_bytes()}));
    return fail({link_errc::connection_cut, make_error_code(link_errc::connection_cut).message()});
}

bool tls_engine::handshake_done() const { return SSL_is_init_finished(ssl_.get()) == 1; }

std::array<std::uint8_t, 32> tls_engine::export_keying_material(std::string_view label) const {
    std::array<std::uint8_t, 32> material{};
    const int success = SSL_export_keying_material(ssl_.get(), material.data(), material.size(),
                                                   label.data(), label.size(), nullptr, 0, 0);
    assert(success == 1);
    // Too early. What nobody else can know fails every comparison, which zeros would not.
    if (success != 1) random_bytes(material);
    return material;
}

std::string tls_engine::alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return size == 0 ? std::string() : std::string(reinterpret_cast<const char*>(name), size);
}

std::string tls_engine::cipher() const {
    const SSL_CIPHER* const cipher = SSL_get_current_cipher(ssl_.get());
    return cipher == nullptr ? "" : SSL_CIPHER_get_name(cipher);
}

std::string tls_engine::peer_subject() const {
    const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
    const bool is_verified = context_->verify_chain && handshake_done() && !error_;
    return certificate != nullptr && is_verified ? certificate_subject(certificate) : "";
}

std::optional<sha256_digest> tls_engine::peer_pin() const {
    const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
    if (certificate == nullptr) return std::nullopt;
    return certificate_pin(certificate);
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
