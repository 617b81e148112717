#include "client/socks_connection.hpp"

#include "protocol/link/lingering_close.hpp"
#include "protocol/program/log.hpp"
#include "socks5/error.hpp"
#include "socks5/message.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace muxsocks::client {

socks_connection::socks_connection(link_thread& thread, tcp_socket socket,
                                   socks5::credential_check check, const timeout_settings& timeouts,
                                   request_sink& sink)
    : thread_(thread),
      socket_(std::move(socket)),
      handshake_(std::move(check)),
      sink_(sink),
      wait_for_link_(timeouts.wait),
      limit_(thread.clock(), [this] { close(); }) {
    limit_.expires_after(timeouts.request);
}

void socks_connection::begin() {
    // Usually the greeting is there already, or comes with the wait.
    wait();
}

void socks_connection::wait() {
    socket_.async_wait(tcp_socket::wait_read, [self = boost::intrusive_ptr<socks_connection>(this)](
                                                  const boost::system::error_code& error) {
        if (!error && self->socket_.is_open()) self->read();
    });
}

void socks_connection::read() {
    std::array<std::uint8_t, 4096> buffer;
    const auto size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
    if (size <= 0) return close();
    const auto input = bytes_view(buffer).first(static_cast<std::size_t>(size));
    const auto result = handshake_.on_input(input);
    if (result.state == socks5::handshake_state::failed) {
        log::info(log::kind{"SOCKS connections closed"}, "SOCKS connection closed: {}",
                  result.error == socks5::errc::command_not_supported
                      ? fmt::format("{} It asked for {}.", result.error.message(),
                                    socks5::to_string(handshake_.request().cmd))
                      : result.error.message());
        limit_.cancel();
        return close_lingering(thread_.clock(), std::move(socket_), result.to_send);
    }
    if (!result.to_send.empty() &&
        ::send(socket_.native_handle(), result.to_send.data(), result.to_send.size(),
               MSG_DONTWAIT | MSG_NOSIGNAL) != static_cast<::ssize_t>(result.to_send.size()))
        return close();
    if (result.state == socks5::handshake_state::need_more) return wait();
    on_request(input.subspan(result.used));
}

void socks_connection::on_request(bytes_view rest) {
    limit_.cancel();
    const auto& request = handshake_.request();
    pending_request pending{std::move(socket_),
                            socks5::encode(request),
                            {rest.begin(), rest.end()},
                            {},
                            std::chrono::steady_clock::now() + wait_for_link_};
    if (log::enabled(log_level::debug)) pending.destination = socks5::to_string(request.dst);
    sink_.submit(std::move(pending));
}

void socks_connection::close() {
    limit_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
}

} // namespace muxsocks::client
