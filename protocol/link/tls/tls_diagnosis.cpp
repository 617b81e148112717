#include "protocol/link/tls/tls_diagnosis.hpp"

#include "protocol/link/tls/link_error.hpp"
#include "protocol/link/tls/tls_files.hpp"

#include <openssl/err.h>
#include <openssl/sslerr.h>

namespace muxsocks {

namespace {

std::string peer_word(const tls_circumstances& circumstances) {
    return circumstances.context.settings.role == tls_role::client ? "server" : "client";
}

// RFC 8446 section 5.1: a record begins with its type (20 to 23) and 3, 0 to 4.
bool looks_like_tls(std::span<const std::uint8_t> first_bytes) {
    return first_bytes.empty() || (first_bytes[0] >= 20 && first_bytes[0] <= 23 &&
                                   (first_bytes.size() < 2 || first_bytes[1] == 3) &&
                                   (first_bytes.size() < 3 || first_bytes[2] <= 4));
}

// A word on what it may be instead, from three bytes.
std::string guess(std::span<const std::uint8_t> first_bytes) {
    const std::string_view text(reinterpret_cast<const char*>(first_bytes.data()),
                                first_bytes.size());
    for (const std::string_view verb : {"GET", "POS", "PUT", "HEA", "CON", "OPT", "HTT"})
        if (text == verb) return " (it looks like HTTP)";
    if (text == "SSH") return " (it looks like SSH)";
    // A frame of muxsocks without TLS begins with stream 0.
    if (text == std::string_view("\0\0\0", 3)) return " (it looks like muxsocks without TLS)";
    return "";
}

tls_fault not_tls(const tls_circumstances& circumstances) {
    const std::string peer = peer_word(circumstances);
    const std::string cure = peer == "server"
                                 ? "check the server's address and port, and that tls.enabled is "
                                   "the same on both sides"
                                 : "it may have a wrong port, or tls.enabled false";
    return {link_errc::peer_not_tls, "what the " + peer + " sends is not TLS" +
                                         guess(circumstances.first_bytes) + "; " + cure};
}

tls_fault wrong_version(const tls_circumstances& circumstances) {
    return {link_errc::tls_version, "the " + peer_word(circumstances) +
                                        " does not speak TLS 1.3, which muxsocks needs; is it "
                                        "another program, or an old TLS proxy in between?"};
}

tls_fault refused_alpn(const tls_circumstances& circumstances) {
    const std::string peer = peer_word(circumstances);
    return {link_errc::alpn_refused,
            peer == "server"
                ? "the server speaks TLS, but refuses the protocol " + std::string(alpn_name) +
                      " (ALPN); check address and port"
                : "the client speaks TLS, but offers other protocols (ALPN) than " +
                      std::string(alpn_name) + "; it is probably a browser or a scanner"};
}

tls_fault refused_certificate(const tls_circumstances& circumstances, const std::string& alert) {
    const tls_context::state& context = circumstances.context;
    if (context.settings.role == tls_role::server)
        return {link_errc::certificate_refused,
                "the client refused this server's certificate (alert: " + alert +
                    "); its tls.ca, tls.server_name or tls.pin_sha256 does not fit, or its clock "
                    "is wrong; the pin of this certificate is " +
                    (context.certificate_pin ? pin_text(*context.certificate_pin) : "unknown")};
    return {link_errc::certificate_refused,
            context.certificate_pin
                ? "the server refused this client's certificate (alert: " + alert +
                      "); set tls.cert and tls.key to a valid one of the server's tls.client_ca"
                : "the server wants a certificate from this client (alert: " + alert +
                      "); set tls.cert and tls.key to one of the server's tls.client_ca"};
}

// OpenSSL 3.0 does not know this one's name.
std::string alert_name(int alert) {
    if (alert == SSL_AD_CERTIFICATE_REQUIRED) return "certificate required";
    return SSL_alert_desc_string_long(alert);
}

} // namespace

tls_fault diagnose_alert(const tls_circumstances& circumstances, int alert) {
    const std::string name = alert_name(alert);
    const std::string text = (name == "unknown" ? "number" : name) + " " + std::to_string(alert);
    switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_CERTIFICATE_REQUIRED:
        return refused_certificate(circumstances, text);
    case SSL_AD_PROTOCOL_VERSION:
        return wrong_version(circumstances);
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return refused_alpn(circumstances);
    default:
        return {link_errc::tls_alert, "the " + peer_word(circumstances) +
                                          " ended the link with a TLS alert: " + text +
                                          "; see its log for the reason"};
    }
}

tls_fault diagnose_damage(const tls_circumstances& circumstances) {
    return {link_errc::tls_damaged, "what the " + peer_word(circumstances) +
                                        " sent was damaged on the way, or is no TLS record"};
}

tls_fault diagnose_breach(const tls_circumstances& circumstances, const std::string& what) {
    return {link_errc::tls_protocol, "TLS with the " + peer_word(circumstances) + " failed: " +
                                         what + "; is it another program, or a proxy in between?"};
}

namespace {

tls_fault known_reason(const tls_circumstances& circumstances, int reason) {
    const std::string peer = peer_word(circumstances);
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return circumstances.verdict;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return {link_errc::certificate_missing,
                "the client sent no certificate, which tls.client_ca demands; set tls.cert and "
                "tls.key on the client"};
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return refused_alpn(circumstances);
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return not_tls(circumstances);
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_BAD_PROTOCOL_VERSION_NUMBER:
        return wrong_version(circumstances);
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_RECORD_TOO_SMALL:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_DATA_LENGTH_TOO_LONG:
        return diagnose_damage(circumstances);
    default:
        return {};
    }
}

} // namespace

tls_fault diagnose(const tls_circumstances& circumstances) {
    if (!looks_like_tls(circumstances.first_bytes)) {
        ERR_clear_error();
        return not_tls(circumstances);
    }
    // The oldest error is the cause, but it may lie below the SSL library's own.
    tls_fault fault;
    std::string reasons;
    while (const unsigned long error = ERR_get_error()) {
        const char* const text = ERR_reason_error_string(error);
        reasons += (reasons.empty() ? "" : ", ") + std::string(text ? text : "unknown");
        if (fault.code || ERR_GET_LIB(error) != ERR_LIB_SSL) continue;
        const int reason = ERR_GET_REASON(error);
        const bool is_alert = reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256;
        fault = is_alert ? diagnose_alert(circumstances, reason - SSL_AD_REASON_OFFSET)
                         : known_reason(circumstances, reason);
    }
    if (fault.code) return fault;
    if (reasons.empty()) return {link_errc::tls_internal, "OpenSSL failed and did not say why"};
    return diagnose_breach(circumstances, reasons);
}

tls_fault diagnose_handshake_cut(const tls_circumstances& circumstances) {
    if (!looks_like_tls(circumstances.first_bytes)) return not_tls(circumstances);
    const bool nothing_came = circumstances.first_bytes.empty();
    if (circumstances.context.settings.role == tls_role::server)
        return {link_errc::handshake_cut,
                nothing_came
                    ? "the client closed the connection without a word; it is probably a port scan "
                      "or a health check"
                    : "the client closed the connection in the middle of the TLS handshake; see "
                      "its log for the reason"};
    return {link_errc::handshake_cut,
            std::string("the server closed the connection in the middle of the TLS handshake") +
                (nothing_came ? " and sent nothing; it may speak no TLS (tls.enabled), be another "
                                "program, or refuse this address"
                              : "; see its log for the reason")};
}

} // namespace muxsocks
