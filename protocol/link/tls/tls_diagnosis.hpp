#pragma once

/// \file
/// From OpenSSL's error queue to a link_errc and a sentence that names cause and cure.

#include "protocol/link/tls/tls_context_state.hpp"

namespace muxsocks {

/// What is known beside the error queue.
struct tls_circumstances {
    const tls_context::state& context;
    /// What verify_peer said in this call, if it refused.
    const tls_fault& verdict;
    /// The first three bytes that the peer ever sent; fewer if it sent fewer.
    std::span<const std::uint8_t> first_bytes;
};

/// Explains the errors in this thread's queue and empties it.
tls_fault diagnose(const tls_circumstances& circumstances);

/// The alert that ended the connection (its number, RFC 8446 section 6).
tls_fault diagnose_alert(const tls_circumstances& circumstances, int alert);

/// A record that is none, or was damaged on the way.
tls_fault diagnose_damage(const tls_circumstances& circumstances);

/// What is authentic, and not allowed behind the handshake: what it is.
tls_fault diagnose_breach(const tls_circumstances& circumstances, const std::string& what);

/// The end of the connection in the middle of the handshake.
tls_fault diagnose_handshake_cut(const tls_circumstances& circumstances);

} // namespace muxsocks
