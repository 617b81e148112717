#include "protocol/link/loop/socket_ends.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace muxsocks {

void make_close_a_reset(int descriptor, bool reset) {
    const ::linger option{.l_onoff = reset ? 1 : 0, .l_linger = 0};
    (void)::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

void close_with_reset(tcp_socket& socket) {
    if (!socket.is_open()) return;
    make_close_a_reset(socket);
    boost::system::error_code ignored;
    socket.close(ignored);
}

std::size_t unsent_bytes(tcp_socket& socket) {
    int bytes = 0;
    if (::ioctl(socket.native_handle(), SIOCOUTQNSD, &bytes) != 0 || bytes < 0) return 0;
    return static_cast<std::size_t>(bytes);
}

} // namespace muxsocks
