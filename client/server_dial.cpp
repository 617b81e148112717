#include "client/server_dial.hpp"

#include "protocol/link/dial/resolve_error.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace muxsocks::client {

dial_failure why_not_connected(const std::optional<via_proxy>& via, std::error_code error) {
    if (!error) return {};
    dial_failure made{error, "cannot connect: " + error.message()};
    if (via) {
        made.what =
            "cannot connect to the proxy " + to_string(via->address) + " (via): " + error.message();
        made.cure = "is it running, and its address in \"via\" right?";
    }
    // The client asks the system's name servers; it has no key for others.
    if (error == resolve_errc::server_failure || error == resolve_errc::timed_out)
        made.what += "; check the name servers in /etc/resolv.conf";
    return made;
}

// ---- With the proxy

via_connection::via_connection(deadlines& clock, tcp_socket socket, const via_proxy& by,
                               const host_port& to, std::chrono::milliseconds limit, handler done)
    : socket_(std::move(socket)),
      handshake_(by, to),
      allowed_(limit),
      done_(std::move(done)),
      limit_(clock, [this] {
          // Not from here: what follows may end the deadline's own owner.
          asio::post(socket_.get_executor(), [self = boost::intrusive_ptr<via_connection>(this)] {
              self->end(self->handshake_.late(self->allowed_));
          });
      }) {}

void via_connection::begin() {
    limit_.expires_after(allowed_);
    const auto words = handshake_.begin();
    // The first words on it: the socket takes them, or is broken, which the read finds out.
    (void)::send(socket_.native_handle(), words.data(), words.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    wait();
}

void via_connection::wait() {
    socket_.async_wait(tcp_socket::wait_read, [self = boost::intrusive_ptr<via_connection>(this)](
                                                  const boost::system::error_code& error) {
        if (!error && self->done_) self->read();
    });
}

void via_connection::read() {
    // What is behind the proxy's last word is the server's, and stays in the socket.
    std::array<std::uint8_t, 4096> buffer;
    const int from = socket_.native_handle();
    for (;;) {
        const auto size = ::recv(from, buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
        if (size <= 0) return end(handshake_.closed());
        const auto made = handshake_.on_input(bytes_view(buffer).first(std::size_t(size)));
        if (made.failure) return end(made.failure);
        (void)::recv(from, buffer.data(), made.used, MSG_DONTWAIT);
        if (made.done) return end({});
        if (!made.to_send.empty())
            (void)::send(from, made.to_send.data(), made.to_send.size(),
                         MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void via_connection::cancel() {
    limit_.cancel();
    done_.reset();
    boost::system::error_code ignored;
    socket_.close(ignored);
}

void via_connection::end(const dial_failure& failure) {
    if (!done_) return;
    const boost::intrusive_ptr<via_connection> self(this);
    limit_.cancel();
    boost::system::error_code ignored;
    if (failure) socket_.close(ignored);
    std::exchange(done_, {})(failure, std::move(socket_));
}

// ---- The whole

void server_dial::begin(const dial_services& services,
                        const std::shared_ptr<const link_recipe>& recipe,
                        const server_entry& server, const host_port& at,
                        std::uint32_t segment_bytes) {
    auto options = make_connect_options(recipe, segment_bytes);
    const auto& via = server.via;
    const auto& first = via ? via->address : at;
    connecting_ = connect_to_host(
        services, first.host, first.port, std::move(options),
        [self = server_dial_ptr(this), via, at, limit = recipe->settings.timeouts.connect,
         clock = &services.clock](std::error_code error, tcp_socket socket) {
            self->connecting_.reset();
            if (via)
                self->on_connected(*clock, *via, at, limit, error, std::move(socket));
            else
                self->end(why_not_connected({}, error), std::move(socket));
        });
}

void server_dial::on_connected(deadlines& clock, const via_proxy& by, const host_port& to,
                               std::chrono::milliseconds limit, std::error_code error,
                               tcp_socket socket) {
    if (error) return end(why_not_connected(by, error), std::move(socket));
    passing_ = new via_connection(
        clock, std::move(socket), by, to, limit,
        [self = server_dial_ptr(this)](const dial_failure& failure, tcp_socket through) {
            self->passing_.reset();
            self->end(failure, std::move(through));
        });
    const auto started = passing_;
    started->begin();
}

void server_dial::cancel() {
    const server_dial_ptr self(this);
    done_.reset();
    if (connecting_) std::exchange(connecting_, nullptr)->cancel();
    if (passing_) std::exchange(passing_, nullptr)->cancel();
}

void server_dial::end(const dial_failure& failure, tcp_socket socket) {
    if (auto told = std::exchange(done_, {})) told(failure, std::move(socket));
}

server_dial_ptr dial_server(const dial_services& services,
                            const std::shared_ptr<const link_recipe>& recipe,
                            const server_entry& server, const host_port& at,
                            std::uint32_t segment_bytes, server_dial::handler done) {
    const server_dial_ptr made(new server_dial(std::move(done)));
    made->begin(services, recipe, server, at, segment_bytes);
    return made;
}

} // namespace muxsocks::client
