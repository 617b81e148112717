#pragma once

/// \file
/// Why a link ended or could not be made: the codes, and for each a sentence that names cause and
/// cure. Where a sentence needs details (which pin, which date), tls_engine::error_text has them.

#include <system_error>

namespace muxsocks {

enum class link_errc {
    // The connection.
    connection_cut =
        1, ///< End of file without TLS close_notify (or, on a plain link, without CLOSE).
    keepalive_timeout,     ///< Nothing was heard from the peer for the keepalive's time.
    tls_handshake_timeout, ///< The peer did not finish the TLS handshake in time.
    hello_timeout,         ///< The peer did not finish HELLO and AUTH, or JOIN, in time.
    frame_timeout,         ///< A frame began and did not become complete in time.

    // TLS: who the peer is.
    handshake_cut = 100,   ///< The peer closed the connection in the middle of the TLS handshake.
    peer_not_tls,          ///< What the peer sends is not TLS.
    tls_version,           ///< The peer does not speak TLS 1.3.
    server_name_missing,   ///< The certificate is to be verified, but for which name is not known.
    pin_mismatch,          ///< The server's key is none of the pinned ones.
    certificate_untrusted, ///< No trusted CA has signed the peer's certificate.
    certificate_expired,
    certificate_not_yet_valid,
    certificate_name_mismatch, ///< The certificate is for other names than the server's.
    certificate_invalid,       ///< The certificate was refused for another reason.
    certificate_missing,       ///< The client sent no certificate, and the server asks for one.
    certificate_refused,       ///< The peer refused our certificate, or asks for one.
    alpn_refused,              ///< Both speak TLS, but one of them not this protocol.

    // TLS: what it carries.
    tls_damaged = 200, ///< A record failed its authentication, or is none.
    tls_protocol,      ///< Another breach of the TLS protocol, by the peer.
    tls_alert,         ///< The peer ended the link with an alert for which there is no own code.
    tls_internal,      ///< OpenSSL failed on our side.
    not_connected, ///< Our own mistake: data before the handshake's end, or behind the link's end.
};

const std::error_category& link_category() noexcept;
inline std::error_code make_error_code(link_errc code) noexcept {
    return {static_cast<int>(code), link_category()};
}

} // namespace muxsocks

template <>
struct std::is_error_code_enum<muxsocks::link_errc> : std::true_type {};
