#include "client/lasting_failure.hpp"

#include "client/via_handshake.hpp"
#include "protocol/error.hpp"
#include "protocol/link/tls/link_error.hpp"

namespace muxsocks::client {
namespace {

bool is_lasting(errc why) {
    switch (why) {
    case errc::authentication_failed:
    case errc::bad_server_proof:
    case errc::binding_mismatch:
    case errc::version_mismatch:
    case errc::v1_refused:
    case errc::user_expired:
        return true;
    default:
        return false;
    }
}

bool is_lasting(link_errc why) {
    switch (why) {
    case link_errc::tls_version:
    case link_errc::server_name_missing:
    case link_errc::pin_mismatch:
    case link_errc::certificate_untrusted:
    case link_errc::certificate_expired:
    case link_errc::certificate_not_yet_valid:
    case link_errc::certificate_name_mismatch:
    case link_errc::certificate_invalid:
    case link_errc::certificate_missing:
    case link_errc::certificate_refused:
    case link_errc::alpn_refused:
        return true;
    default:
        return false;
    }
}

} // namespace

bool is_lasting(std::error_code why) {
    if (why == via_errc::login_refused) return true;
    if (why.category() == link_category()) return is_lasting(static_cast<link_errc>(why.value()));
    return why.category() == make_error_code(errc::link_lost).category() &&
           is_lasting(static_cast<errc>(why.value()));
}

std::error_code cause_of(std::error_code why, std::string_view peer_text) {
    if (why != errc::closed_by_peer) return why;
    for (const auto each : {errc::binding_mismatch, errc::version_mismatch, errc::user_expired})
        if (peer_text.find(make_error_code(each).message()) != std::string_view::npos) return each;
    return why;
}

} // namespace muxsocks::client
