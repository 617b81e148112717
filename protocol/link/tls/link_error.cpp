#include "protocol/link/tls/link_error.hpp"

#include <string>

namespace muxsocks {

namespace {

const char* text(link_errc code) {
    switch (code) {
    case link_errc::connection_cut:
        return "the connection was cut without a goodbye; what was under way may be incomplete";
    case link_errc::keepalive_timeout:
        return "the peer has fallen silent: neither data nor an answer to PING within the "
               "keepalive's "
               "time-out";
    case link_errc::tls_handshake_timeout:
        return "the peer did not finish the TLS handshake in time; the port may belong to another "
               "program, or the path drops packets";
    case link_errc::hello_timeout:
        return "the peer did not finish the muxsocks handshake in time; it may be another TLS "
               "program";
    case link_errc::frame_timeout:
        return "the peer began a frame and did not finish it in time";
    case link_errc::handshake_cut:
        return "the peer closed the connection in the middle of the TLS handshake; see the peer's "
               "log "
               "for its reason";
    case link_errc::peer_not_tls:
        return "what the peer sends is not TLS; check address and port, and tls.enabled on both "
               "sides";
    case link_errc::tls_version:
        return "the peer does not speak TLS 1.3, which muxsocks needs; check address and port";
    case link_errc::server_name_missing:
        return "the server's certificate cannot be verified without a name; set tls.server_name or "
               "tls.pin_sha256";
    case link_errc::pin_mismatch:
        return "the server's key is none of those in tls.pin_sha256; if the server has a new key, "
               "set "
               "its new pin";
    case link_errc::certificate_untrusted:
        return "the peer's certificate is not signed by a trusted CA; set tls.ca (on a server "
               "tls.client_ca) to its CA's file";
    case link_errc::certificate_expired:
        return "the peer's certificate has expired; renew it, or set this machine's clock";
    case link_errc::certificate_not_yet_valid:
        return "the peer's certificate is not valid yet; set this machine's clock";
    case link_errc::certificate_name_mismatch:
        return "the server's certificate is for another name; set tls.server_name to the name that "
               "it "
               "bears";
    case link_errc::certificate_invalid:
        return "the peer's certificate is not fit for its use; have a new one made";
    case link_errc::certificate_missing:
        return "the client sent no certificate, which tls.client_ca demands; set tls.cert and "
               "tls.key "
               "on the client";
    case link_errc::certificate_refused:
        return "the peer refused this side's certificate; see the peer's log for its reason";
    case link_errc::alpn_refused:
        return "the peer speaks TLS, but not the protocol muxsocks/2; check address and port";
    case link_errc::tls_damaged:
        return "what the peer sent was damaged on the way, or is no TLS record";
    case link_errc::tls_protocol:
        return "the peer broke the rules of TLS";
    case link_errc::tls_alert:
        return "the peer ended the link with a TLS alert; see the peer's log for its reason";
    case link_errc::tls_internal:
        return "OpenSSL failed on this side";
    case link_errc::not_connected:
        return "the link is not, or no longer, able to send";
    }
    return "unknown link error";
}

class link_category_impl final : public std::error_category {
  public:
    const char* name() const noexcept override { return "muxsocks.link"; }
    std::string message(int value) const override { return text(static_cast<link_errc>(value)); }
};

} // namespace

const std::error_category& link_category() noexcept {
    static const link_category_impl instance;
    return instance;
}

} // namespace muxsocks
