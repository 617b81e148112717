#include "client/accepted_connection.hpp"

#include "protocol/link/loop/let_go.hpp"
#include "protocol/link/loop/lingering_close.hpp"
#include "protocol/program/log.hpp"
#include "protocol/saved_fields.hpp"
#include "socks5/error.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace muxsocks::client {
namespace {

/// Whoever guesses passwords gets one answer in so much time, a right one at once.
constexpr std::chrono::seconds wrong_password_delay{1};

void tell_closed(const char* protocol, const std::string& why) {
    log::info(log::kind{"connections of applications closed"}, "{} connection closed: {}", protocol,
              why);
}

} // namespace

accepted_connection::accepted_connection(tcp_socket socket, const front_services& services)
    : socket_(std::move(socket)), services_(services), limit_(services.thread.clock(), [this] {
          if (!late_) return close();
          // Not from here: what follows may end the deadline's own owner.
          asio::post(services_.thread.context(),
                     [self = boost::intrusive_ptr<accepted_connection>(this)] {
                         const auto made = std::exchange(self->late_, nullptr);
                         if (!made || !self->socket_.is_open()) return;
                         boost::system::error_code ignored;
                         self->socket_.cancel(ignored);
                         self->limit_.expires_after(self->services_.limit);
                         if (made->result == front::verdict::failed) return self->fail(*made);
                         if (!self->send(made->to_send)) return self->close();
                         // What has come behind it meanwhile.
                         self->on_input({});
                     });
      }) {
    limit_.expires_after(services_.limit);
    if (services_.movables) services_.movables->push_back(*this);
}

void accepted_connection::begin(std::string bytes, std::string said) {
    // Usually the greeting is there already, or comes with the wait.
    if (bytes.empty()) return wait();
    skip_ = std::move(said);
    if (!choose_front(static_cast<std::uint8_t>(bytes[0]))) return close();
    on_input({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

void accepted_connection::wait() {
    socket_.async_wait(tcp_socket::wait_read, [self = boost::intrusive_ptr<accepted_connection>(
                                                   this)](const boost::system::error_code& error) {
        if (!error && self->socket_.is_open()) self->read();
    });
}

void accepted_connection::read() {
    std::array<std::uint8_t, 4096> buffer;
    const auto size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait();
    // A connection without a byte is nothing unusual: browsers make some in advance.
    if (size <= 0) return close();
    if (!front_ && !choose_front(buffer[0])) return close();
    on_input(bytes_view(buffer).first(static_cast<std::size_t>(size)));
}

bool accepted_connection::choose_front(std::uint8_t first) {
    const auto accepts = [this](std::uint8_t protocol) {
        return (services_.accept & protocol) != 0;
    };
    const auto what = recognise(first);
    if (what == spoken::http && accepts(accepted_protocols::http))
        front_ = make_http_front(services_);
    else if (what == spoken::socks4 && accepts(accepted_protocols::socks4))
        front_ = make_socks4_front(services_);
    else if (what == spoken::tls)
        tell_closed("SOCKS",
                    "A TLS handshake arrived on the proxy's port, which speaks no TLS: use "
                    "http:// or socks5h:// as the proxy's scheme.");
    else if (accepts(accepted_protocols::socks5))
        // It knows what else may have come, and says so.
        front_ = make_socks5_front(services_);
    else
        tell_closed("SOCKS", "The application speaks a protocol that is not in \"accept\" of this "
                             "listener.");
    return front_ != nullptr;
}

void accepted_connection::on_input(bytes_view input) {
    if (heard_.size() <= heard_max) heard_.append(input.begin(), input.end());
    const auto made = front_->on_input(input);
    if (made.guessed) return answer_late(made);
    if (made.result != front::verdict::ready) return answer(made);
    limit_.cancel();
    if (!send(made.to_send)) return close();
    front_->proceed(std::move(socket_), input.subspan(made.used));
}

void accepted_connection::answer_late(const front::step& made) {
    late_ = std::make_unique<front::step>(made);
    limit_.expires_after(wrong_password_delay);
    // Keeps this alive meanwhile, and lets it go where the application is gone.
    socket_.async_wait(tcp_socket::wait_error, [self = boost::intrusive_ptr<accepted_connection>(
                                                    this)](const auto& /*error*/) {});
}

std::optional<bytes_view> accepted_connection::unsaid(bytes_view words) {
    const auto known = std::min(words.size(), skip_.size());
    // With another configuration the answer may be another one, too late.
    if (!std::equal(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(known),
                    skip_.begin(),
                    [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); }))
        return {};
    said_.append(words.begin(), words.end());
    skip_.erase(0, known);
    return words.subspan(known);
}

bool accepted_connection::send(bytes_view words) {
    const auto rest = unsaid(words);
    return rest && (rest->empty() ||
                    ::send(socket_.native_handle(), rest->data(), rest->size(),
                           MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<::ssize_t>(rest->size()));
}

void accepted_connection::answer(const front::step& made) {
    if (made.result == front::verdict::failed) return fail(made);
    if (!send(made.to_send)) return close();
    wait();
}

void accepted_connection::fail(const front::step& made) {
    if (!made.failure.empty()) tell_closed(front_->protocol(), made.failure);
    limit_.cancel();
    const auto last_words = unsaid(made.to_send);
    if (!last_words) return close();
    close_lingering(services_.thread.clock(), std::move(socket_), *last_words);
}

// ---- A hand-over

bool accepted_connection::save_connection(std::vector<std::uint8_t>& state,
                                          std::vector<int>& sockets) {
    if (!socket_.is_open() || heard_.size() > heard_max) return false;
    field_saver fields;
    auto kind = movable_kind::accepted;
    fields(kind, services_.accept, heard_, said_);
    state = std::move(fields.bytes());
    sockets.push_back(socket_.native_handle());
    return true;
}

void accepted_connection::on_connection_gone() {
    limit_.cancel();
    late_.reset();
    let_go(socket_);
}

// ---- Its end

void accepted_connection::close() {
    limit_.cancel();
    boost::system::error_code ignored;
    socket_.close(ignored);
}

} // namespace muxsocks::client
