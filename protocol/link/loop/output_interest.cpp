#include "protocol/link/loop/output_interest.hpp"

#include <unistd.h>

namespace muxsocks {

void forget_output_interest(tcp_socket& socket) {
    boost::system::error_code error;
    const auto protocol = socket.local_endpoint(error).protocol();
    if (error) return;
    const int descriptor = socket.release(error);
    if (error) return;
    socket.assign(protocol, descriptor, error);
    if (error) ::close(descriptor);
}

} // namespace muxsocks
