#include "benchmarks/load/counters_client.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include <poll.h>
#include <sys/socket.h>

namespace muxsocks::load {

namespace {

constexpr int answer_timeout_ms = 30000;

void wait_for(int socket, short events) {
    pollfd watched{.fd = socket, .events = events, .revents = 0};
    if (poll(&watched, 1, answer_timeout_ms) <= 0) {
        throw std::runtime_error("the target does not answer its control connection");
    }
}

} // namespace

counters_client::counters_client(const endpoint& target, const socket_settings& settings) {
    auto begun = connect_to(target, settings);
    socket_ = std::move(begun.socket);
    int error = socket_ ? 0 : errno;
    if (socket_ && !begun.connected) {
        wait_for(socket_.get(), POLLOUT);
        error = pending_error(socket_.get());
    }
    if (error != 0) {
        throw std::runtime_error("no target at " + target.text() + ": " + std::strerror(error) +
                                 " (start muxsocks-load target first, or give --control)");
    }
    request what;
    what.op = operation::counters;
    if (send(socket_.get(), &what, sizeof what, MSG_NOSIGNAL) != sizeof what) {
        throw_errno("control connection");
    }
}

target_counters counters_client::read() {
    if (send(socket_.get(), "?", 1, MSG_NOSIGNAL) != 1) throw_errno("control connection");
    target_counters result;
    wait_for(socket_.get(), POLLIN);
    // The answer is sent at once as one small piece and arrives as one.
    if (recv(socket_.get(), &result, sizeof result, MSG_WAITALL) != sizeof result) {
        throw std::runtime_error("the target closed its control connection");
    }
    return result;
}

} // namespace muxsocks::load
