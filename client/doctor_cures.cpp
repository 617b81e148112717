#include "client/doctor_cures.hpp"

#include "client/lasting_failure.hpp"
#include "protocol/error.hpp"
#include "protocol/link/tls/link_error.hpp"

namespace muxsocks::client {

const char* const alike_cure =
    "is tls.enabled alike on both sides, and the port that of muxsocks-server? The server's log "
    "says why it closed the connection";

const char* tls_cure(std::error_code why) {
    if (why == link_errc::certificate_expired || why == link_errc::certificate_not_yet_valid)
        return "check this machine's clock; if it is right, renew the certificate";
    if (why == link_errc::certificate_refused || why == link_errc::certificate_missing)
        return "the server's tls.client_ca asks for a certificate: set tls.cert and tls.key to one "
               "that this authority has signed";
    if (why == link_errc::peer_not_tls || why == link_errc::handshake_cut ||
        why == link_errc::connection_cut)
        return alike_cure;
    return "compare \"tls\" with the server's settings (pin, CA, names)";
}

const char* session_cure(std::error_code why, const std::string& peer_text, bool tls) {
    why = cause_of(why, peer_text);
    if (why == errc::binding_mismatch)
        return "set tls.channel_binding alike on both sides; false only where a load balancer ends "
               "TLS";
    if (why == errc::authentication_failed || why == errc::bad_server_proof)
        return "compare auth.user and auth.token with users[] of the server";
    if (why == errc::version_mismatch || why == errc::v1_refused)
        return "compare the versions of client and server";
    if (!tls || why == errc::link_lost || why == errc::handshake_timeout ||
        why == link_errc::connection_cut)
        return alike_cure;
    return "the server's log says why it ended the session";
}

} // namespace muxsocks::client
