#include "protocol/link/end_reason.hpp"

#include "protocol/error.hpp"
#include "protocol/link/tls/link_error.hpp"

#include <array>

namespace muxsocks {
namespace {

constexpr std::array<std::string_view, link_ends> link_words{
    "eof", "reset", "timeout", "keepalive", "tls", "closed", "other"};
constexpr std::array<std::string_view, stream_ends> stream_words{
    "fin", "reset", "local", "timeout", "shed", "denied", "refused", "flow", "session", "other"};
constexpr std::array<std::string_view, denied_rules> rule_words{"deny", "port", "user",
                                                                "not_public", "own"};

link_end of_link_error(link_errc code) noexcept {
    switch (code) {
    case link_errc::connection_cut:
    case link_errc::handshake_cut:
        return link_end::eof;
    case link_errc::keepalive_timeout:
        return link_end::keepalive;
    case link_errc::tls_handshake_timeout:
    case link_errc::hello_timeout:
    case link_errc::frame_timeout:
        return link_end::timeout;
    default:
        return link_end::tls;
    }
}

link_end of_protocol_error(errc code) noexcept {
    switch (code) {
    case errc::keepalive_timeout:
        return link_end::keepalive;
    case errc::handshake_timeout:
    case errc::frame_timeout:
        return link_end::timeout;
    case errc::link_given_up:
    case errc::link_replaced:
    case errc::closed_by_peer:
    case errc::closed_locally:
    case errc::going_away:
    case errc::drain_timeout:
        return link_end::closed;
    default:
        return link_end::other;
    }
}

} // namespace

link_end link_end_of(std::error_code why) noexcept {
    if (!why) return link_end::closed;
    if (why.category() == link_category())
        return of_link_error(static_cast<link_errc>(why.value()));
    if (why.category() == protocol_category())
        return of_protocol_error(static_cast<errc>(why.value()));
    if (why == std::errc::connection_reset || why == std::errc::broken_pipe) return link_end::reset;
    if (why == std::errc::timed_out || why == std::errc::host_unreachable ||
        why == std::errc::network_unreachable)
        return link_end::timeout;
    return link_end::other;
}

stream_end stream_end_of(std::error_code why) noexcept {
    if (!why) return stream_end::fin;
    if (why.category() != protocol_category()) return stream_end::local;
    switch (static_cast<errc>(why.value())) {
    case errc::stream_reset_by_peer:
        return stream_end::reset;
    case errc::stream_cancelled:
        return stream_end::local;
    case errc::stream_timeout:
        return stream_end::timeout;
    case errc::stream_shed:
        return stream_end::shed;
    case errc::stream_denied:
        return stream_end::denied;
    case errc::stream_refused:
        return stream_end::refused;
    case errc::stream_flow_control:
        return stream_end::flow;
    case errc::stream_internal:
        return stream_end::other;
    default:
        return stream_end::session;
    }
}

std::string_view to_string(link_end end) noexcept {
    return link_words[static_cast<std::size_t>(end)];
}

std::string_view to_string(denied_by rule) noexcept {
    return rule_words[static_cast<std::size_t>(rule)];
}

std::string_view to_string(stream_end end) noexcept {
    return stream_words[static_cast<std::size_t>(end)];
}

} // namespace muxsocks
