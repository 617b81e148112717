#include "protocol/link/loop/tcp_keepalive.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace muxsocks {

void set_tcp_keepalive(int descriptor, const tcp_keepalive& settings) {
    const auto set = [descriptor](int level, int name, int value) {
        (void)::setsockopt(descriptor, level, name, &value, sizeof value);
    };
    const bool on = settings.idle.count() > 0;
    if (on) {
        set(IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(settings.idle.count()));
        set(IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(settings.interval.count()));
        set(IPPROTO_TCP, TCP_KEEPCNT, settings.count);
    }
    set(SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0);
}

} // namespace muxsocks
