#include "protocol/link/tls/tls_verify.hpp"

#include "protocol/link/tls/link_error.hpp"
#include "protocol/link/tls/tls_bio.hpp"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <algorithm>
#include <ctime>

namespace muxsocks {

namespace {

constexpr std::size_t name_length_max = 300;

struct general_names_free {
    void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
struct openssl_free {
    void operator()(unsigned char* memory) const { OPENSSL_free(memory); }
};

std::string printable(std::string text) {
    if (text.size() > name_length_max) text.replace(name_length_max, std::string::npos, "...");
    for (char& character : text)
        if (character < 0x20 || character > 0x7e) character = '?';
    return text;
}

std::string name_text(const X509_NAME* name) {
    const bio_ptr memory(BIO_new(BIO_s_mem()));
    if (!memory || X509_NAME_print_ex(memory.get(), name, 0, XN_FLAG_RFC2253) < 0) return {};
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &data);
    return printable(size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string());
}

std::string time_text(std::chrono::system_clock::time_point time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm parts{};
    char text[64];
    if (gmtime_r(&seconds, &parts) == nullptr) return "an impossible date";
    return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::string time_text(const ASN1_TIME* time) {
    const auto point = time_of(time);
    return point ? time_text(*point) : "an impossible date";
}

std::string general_name_text(const GENERAL_NAME* name) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(name, &type);
    const auto* const string = static_cast<const ASN1_STRING*>(value);
    if (type == GEN_DNS)
        return printable({reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                          static_cast<std::size_t>(ASN1_STRING_length(string))});
    if (type != GEN_IPADD) return {};
    char text[INET6_ADDRSTRLEN] = {};
    const int family = ASN1_STRING_length(string) == 4 ? AF_INET : AF_INET6;
    if (ASN1_STRING_length(string) != 4 && ASN1_STRING_length(string) != 16) return {};
    return inet_ntop(family, ASN1_STRING_get0_data(string), text, sizeof text) ? text : "";
}

/// The names that a certificate is for, as a list to read.
std::string alternative_names(const X509* certificate) {
    constexpr int shown_max = 5;
    const std::unique_ptr<GENERAL_NAMES, general_names_free> names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    std::string list;
    int shown = 0;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const std::string name = general_name_text(sk_GENERAL_NAME_value(names.get(), i));
        if (name.empty()) continue;
        if (++shown > shown_max) return list + ", ...";
        list += (list.empty() ? "'" : ", '") + name + "'";
    }
    return list.empty() ? "no name at all (it has no subjectAltName)" : list;
}

std::string peer_word(const tls_context::state& context) {
    return context.settings.role == tls_role::client ? "server" : "client";
}

std::string pins_text(const std::vector<sha256_digest>& pins) {
    std::string list;
    for (const auto& pin : pins)
        list += (list.empty() ? "" : ", ") + pin_text(pin);
    return list;
}

tls_fault pin_fault(const tls_context::state& context, const X509* certificate) {
    const std::string which = context.pins.size() == 1 ? "the pin " : "any of the pins ";
    return {link_errc::pin_mismatch,
            "the server's certificate does not match " + which + pins_text(context.pins) +
                " (tls.pin_sha256); it is " + pin_text(certificate_pin(certificate)) +
                ". If the server has a new key, set its new pin; if not, somebody else answers in "
                "its place"};
}

tls_fault untrusted_fault(const tls_context::state& context, const X509* leaf) {
    const std::string whose = "the " + peer_word(context) + "'s certificate (" +
                              certificate_subject(leaf) + ", issued by " +
                              name_text(X509_get_issuer_name(leaf)) + ") is not signed by ";
    if (context.settings.role == tls_role::server)
        return {link_errc::certificate_untrusted,
                whose + "a CA in '" + context.settings.client_ca_file +
                    "' (tls.client_ca); give the client a certificate of that CA"};
    const std::string& ca = context.settings.ca_file;
    return {link_errc::certificate_untrusted,
            whose +
                (ca.empty() ? "a CA that this system trusts" : "a CA in '" + ca + "' (tls.ca)") +
                "; set tls.ca to the file of its CA, or tls.pin_sha256 to its pin, " +
                pin_text(certificate_pin(leaf)) +
                ", after comparing it with the pin on the server itself"};
}

tls_fault name_fault(const X509* leaf, const std::string& server_name) {
    return {link_errc::certificate_name_mismatch,
            "the server's certificate is for " + alternative_names(leaf) + " and not for '" +
                server_name +
                "'; set tls.server_name to a name that it bears, or check the address"};
}

// Expired or not yet valid may also be one of the issuers.
tls_fault date_fault(const tls_context::state& context, X509_STORE_CTX* store, bool expired) {
    const X509* const current = X509_STORE_CTX_get_current_cert(store);
    const X509* const certificate = current ? current : X509_STORE_CTX_get0_cert(store);
    const std::string whose = X509_STORE_CTX_get_error_depth(store) == 0
                                  ? "the " + peer_word(context) + "'s certificate ("
                                  : "the CA of the " + peer_word(context) + "'s certificate (";
    const std::string now = time_text(std::chrono::system_clock::now());
    if (expired)
        return {link_errc::certificate_expired,
                whose + certificate_subject(certificate) + ") expired on " +
                    time_text(X509_get0_notAfter(certificate)) +
                    "; have it renewed, or correct this machine's clock, which says " + now};
    return {link_errc::certificate_not_yet_valid,
            whose + certificate_subject(certificate) + ") is not valid before " +
                time_text(X509_get0_notBefore(certificate)) +
                "; correct this machine's clock, which says " + now};
}

tls_fault chain_fault(const tls_context::state& context, X509_STORE_CTX* store,
                      const std::string& server_name) {
    const X509* const leaf = X509_STORE_CTX_get0_cert(store);
    const int error = X509_STORE_CTX_get_error(store);
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return date_fault(context, store, true);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return date_fault(context, store, false);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return name_fault(leaf, server_name);
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        // A CA of the same name with another key: to the peer that is an unknown CA as well.
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        return untrusted_fault(context, leaf);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
        return untrusted_fault(context, leaf);
    default:
        return {link_errc::certificate_invalid,
                "the " + peer_word(context) + "'s certificate (" + certificate_subject(leaf) +
                    ") cannot be accepted: " + X509_verify_cert_error_string(error) +
                    "; have a fitting one made"};
    }
}

/// No code: the peer is who it should be. The error in `store` decides the alert that the peer
/// gets.
tls_fault judge(const tls_context::state& context, X509_STORE_CTX* store,
                const std::string& server_name) {
    if (context.verify_chain && X509_verify_cert(store) != 1)
        return chain_fault(context, store, server_name);
    const X509* const leaf = X509_STORE_CTX_get0_cert(store);
    const auto is_pinned = [&] {
        const sha256_digest found = certificate_pin(leaf);
        return std::find(context.pins.begin(), context.pins.end(), found) != context.pins.end();
    };
    if (!context.pins.empty() && !is_pinned()) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
        return pin_fault(context, leaf);
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return {};
}

} // namespace

int verify_peer(X509_STORE_CTX* store, void* argument) {
    const auto& context = *static_cast<const tls_context::state*>(argument);
    const auto* const ssl = static_cast<const SSL*>(
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    tls_io& io = lent_io(ssl);
    // The search for issuers leaves errors behind even when it succeeds.
    ERR_set_mark();
    io.verdict = judge(context, store, io.server_name);
    ERR_pop_to_mark();
    return io.verdict.code ? 0 : 1;
}

sha256_digest certificate_pin(const X509* certificate) {
    unsigned char* memory = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &memory);
    const std::unique_ptr<unsigned char, openssl_free> owner(memory);
    return sha256({memory, size > 0 ? static_cast<std::size_t>(size) : 0});
}

std::string certificate_subject(const X509* certificate) {
    return name_text(X509_get_subject_name(certificate));
}

std::optional<std::chrono::system_clock::time_point> time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
    return std::chrono::system_clock::from_time_t(timegm(&parts));
}

} // namespace muxsocks
