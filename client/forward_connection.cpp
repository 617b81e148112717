#include "client/forward_connection.hpp"

#include "client/accepted_connection.hpp"
#include "client/direct_dialer.hpp"
#include "client/forward_request.hpp"
#include "client/http_answers.hpp"
#include "client/http_wish.hpp"
#include "http/forwarded_head.hpp"
#include "protocol/program/log.hpp"
#include "socks5/message.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace muxsocks::client {
namespace {

bytes_view as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string_view as_text(bytes_view bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Safe methods without a body (RFC 9110, section 9.2.1): nothing happens twice.
bool does_no_harm(const http::request_head& head) {
    return head.body == http::framing::none &&
           (head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS");
}

} // namespace

forward_connection::forward_connection(tcp_socket socket, const front_services& services,
                                       std::string bytes)
    : socket_(std::move(socket)),
      services_(services),
      input_(std::move(bytes)),
      limit_(services.thread.clock(), [this] { on_limit(); }),
      idle_(services.thread.clock(), [this] { on_idle(); }) {
    set_tcp_keepalive(socket_.native_handle(), services_.sink.stream_timeouts().keepalive);
    if (services_.movables) services_.movables->push_back(*this);
    touch();
}

forward_connection::~forward_connection() = default;

// ---- Between requests

void forward_connection::on_bytes() {
    // Some send an empty line behind a body (RFC 9112, section 2.2).
    while (input_.starts_with("\r\n") && !head_begun_)
        input_.erase(0, 2);
    const bool begins = !input_.empty() && input_ != "\r";
    const auto size = begins ? input_end_.find(input_) : 0;
    if (input_end_.fault()) return leave();
    if (size > 0) return on_head(size);
    if (begins && !std::exchange(head_begun_, true)) limit_.expires_after(services_.limit);
    wait_readable();
}

void forward_connection::on_head(std::size_t size) {
    limit_.cancel();
    head_begun_ = false;
    http::request_head head;
    if (http::parse({input_.data(), size}, head)) return leave();
    auto wish = wish_of(head, services_.users.get());
    if (wish.what != http_wish::kind::forward) return leave();

    message_ = http::forwarded(head, wish.to, wish.rest);
    body_ = http::body_walker(head);
    repeatable_ = does_no_harm(head);
    answer_ = http::answer_passage(
        {std::string(head.method), head.persists(), head.minor == 0, head.upgrade});
    const auto named = wish.to.text(0);
    input_.erase(0, size);
    input_end_.restart();
    const auto early = body_.take(input_);
    if (body_.failed()) return fail({400, "The request's body is not chunked as it should be."});
    message_.append(input_, 0, early);
    input_.erase(0, early);
    exchanging_ = true;
    body_read_ = 0;
    if (way_ && named == named_) {
        reused_ = true;
        return send_request();
    }
    drop_way();
    named_ = named;
    target_ = std::move(wish.target);
    ask_for_stream();
}

/// What is next is nothing to forward: another one looks at it.
void forward_connection::leave() {
    const self_ptr self(this);
    drop_way();
    stop();
    const boost::intrusive_ptr<accepted_connection> next(
        new accepted_connection(std::move(socket_), services_));
    next->begin(std::move(input_));
}

void forward_connection::read_idle() {
    std::array<char, 16'384> buffer;
    const auto size = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait_readable();
    if (size <= 0) return close();
    touch();
    input_.append(buffer.data(), static_cast<std::size_t>(size));
    on_bytes();
}

// ---- The request on its way

void forward_connection::ask_for_stream() {
    const boost::intrusive_ptr<request> made(new request(this));
    made->give_up = std::chrono::steady_clock::now() + services_.wait;
    if (log::enabled(log_level::debug)) made->destination = socks5::to_string(target_);
    services_.sink.submit(made);
}

void forward_connection::on_session(request& from, driver_ptr driver, request_sink& sink) {
    sink_ = &sink;
    auto& stream =
        driver->open(socks5::encode(socks5::request{socks5::command::connect, target_}), *this);
    limit_.expires_at(from.give_up);
    take_way(from, new session_way(std::move(driver), stream, sink));
}

void forward_connection::on_direct(request& from, tcp_socket target, direct_dialer& by) {
    sink_ = &by;
    take_way(from, make_direct_way(by, std::move(target), from.destination, *this));
}

void forward_connection::take_way(request& from, forward_way_ptr way) {
    request_ = &from;
    way_ = std::move(way);
    kept_ = this;
    reused_ = false;
    replied_ = !way_->has_reply();
    began_ = std::chrono::steady_clock::now();
    bytes_up_ = bytes_down_ = 0;
    send_request();
}

void forward_connection::give_back(pending_request& to_wait) {
    static_cast<request&>(to_wait).give_back_to(*this);
}

void forward_connection::send_request() {
    way_->write(as_bytes(message_));
    bytes_up_ += message_.size();
    if (body_.complete())
        on_parked();
    else
        wait_readable();
}

void forward_connection::wait_readable() {
    if (waiting_read_ || closed_) return;
    waiting_read_ = true;
    socket_.async_wait(tcp_socket::wait_read,
                       [self = self_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_read_ = false;
                           if (!error && !self->closed_) self->on_local_readable();
                       });
}

void forward_connection::on_local_readable() {
    if (!exchanging_) return read_idle();
    if (!way_ || body_.complete()) return;
    const self_ptr self(this);
    way_->on_readable();
    if (way_ && way_->stalled()) on_parked();
}

stream_owner::read_result forward_connection::read_for_turn(const read_slot& slot) {
    if (body_.complete() || body_.failed()) return {};
    std::array<::iovec, read_slot::places_max> places;
    for (std::size_t i = 0; i < slot.count; ++i)
        places[i] = {slot.places[i].data(), slot.places[i].size()};
    const auto size = ::readv(socket_.native_handle(), places.data(), static_cast<int>(slot.count));
    if (size < 0) {
        const bool nothing_yet = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (nothing_yet) wait_readable();
        return {0, read_outcome::drained, !nothing_yet};
    }
    // A body that ends before its end: what there is of it must not look whole.
    if (size == 0) return {0, read_outcome::drained, true};
    touch();
    auto left = static_cast<std::size_t>(size);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < slot.count && left > 0; ++i) {
        const auto piece = as_text(slot.places[i].first(std::min(left, slot.places[i].size())));
        const auto used = body_.take(piece);
        taken += used;
        left -= piece.size();
        input_ += piece.substr(used);
    }
    body_read_ += taken;
    bytes_up_ += taken;
    if (body_.failed()) return {taken, read_outcome::drained, true};
    if (body_.complete()) {
        on_parked();
        asio::post(services_.thread.context(), [self = self_ptr(this)] {
            if (self->exchanging_ && !self->waiting_write_) self->deliver();
        });
        return {taken, read_outcome::drained, false};
    }
    if (taken == slot.size) return {taken, read_outcome::more, false};
    wait_readable();
    return {taken, read_outcome::drained, false};
}

void forward_connection::on_read_failed() {
    const self_ptr self(this);
    if (body_.failed() && !answer_.begun())
        return fail({400, "The request's body is not chunked as it should be."});
    cut();
}

/// Nothing is read for now, but that the application is gone must not go unseen.
void forward_connection::on_parked() {
    if (waiting_error_ || waiting_read_ || closed_) return;
    waiting_error_ = true;
    socket_.async_wait(tcp_socket::wait_error, [self = self_ptr(this)](
                                                   const boost::system::error_code& error) {
        self->waiting_error_ = false;
        if (error || self->closed_) return;
        int pending = 0;
        ::socklen_t size = sizeof pending;
        (void)::getsockopt(self->socket_.native_handle(), SOL_SOCKET, SO_ERROR, &pending, &size);
        if (pending != 0) self->cut();
    });
}

/// Both directions are complete, and all has gone to the application.
void forward_connection::finish_exchange() {
    exchanging_ = false;
    log::debug("{}: answered with {}", named_, answer_.status());
    if (!answer_.keeps_server() || lost_ || way_->at_end()) drop_way();
    if (!answer_.keeps_application()) return close_softly();
    on_bytes();
}

} // namespace muxsocks::client
