#pragma once

/// \file
/// TCP keepalive of the sockets behind streams. A peer that has gone without a word (a NAT that
/// forgot the connection, a machine that was switched off) is found, and the NAT does not forget.
/// The kernel's own default waits two hours.

#include <chrono>

namespace muxsocks {

struct tcp_keepalive {
    std::chrono::seconds idle{60};     ///< Silence before the first probe; 0: no probes.
    std::chrono::seconds interval{30}; ///< Between probes.
    int count = 4;                     ///< Probes without an answer after which the peer is gone.

    bool operator==(const tcp_keepalive&) const = default;
};

/// Failures are not worth a connection.
void set_tcp_keepalive(int descriptor, const tcp_keepalive& settings);

} // namespace muxsocks
