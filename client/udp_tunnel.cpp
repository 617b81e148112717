#include "client/udp_tunnel.hpp"

#include "client/http_answers.hpp"
#include "protocol/link/loop/lingering_close.hpp"
#include "protocol/link/loop/tcp_keepalive.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace muxsocks::client {
namespace {

/// What waits for its turn; beyond that the application's connection is not read.
constexpr std::size_t tunnel_bytes_max = 256 * 1024;
constexpr std::size_t tunnel_read_bytes = 32 * 1024;
/// A datagram without a byte takes its place, too.
constexpr std::size_t tunnel_datagram_cost = 64;
/// The longest payload of IPv4, and with room for the address of IPv6 in a frame.
constexpr std::size_t tunnel_datagram_max = 65'507;

constexpr refusal no_datagrams{socks5::reply_code::command_not_supported,
                               "The server carries no UDP.", false};
constexpr std::string_view switching = "HTTP/1.1 101 Switching Protocols\r\n"
                                       "Connection: Upgrade\r\n"
                                       "Upgrade: connect-udp\r\n"
                                       "Capsule-Protocol: ?1\r\n\r\n";

bytes_view bytes_in(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

} // namespace

// ---- While it waits for a session

udp_tunnel_request::udp_tunnel_request(link_thread& thread, tcp_socket socket,
                                       socks5::address target, std::string early,
                                       std::shared_ptr<const udp_settings> settings)
    : thread_(thread),
      socket_(std::move(socket)),
      target_(std::move(target)),
      early_(std::move(early)),
      settings_(std::move(settings)) {
    if (log::enabled(log_level::debug)) destination = "UDP to " + socks5::to_string(target_);
}

void udp_tunnel_request::begin(driver_ptr driver, request_sink& sink) {
    end_watch_.stop(socket_);
    if (!driver->core().datagrams_lane().agreed()) return refuse(no_datagrams);
    const boost::intrusive_ptr<udp_tunnel> made(
        new udp_tunnel(std::move(driver), std::move(socket_), std::move(early_), settings_));
    made->begin(target_, give_up, sink.stream_timeouts().keepalive);
}

void udp_tunnel_request::refuse(const refusal& why) {
    end_watch_.drop();
    log::debug("request for {} refused with REP {:#04x}", destination,
               static_cast<unsigned>(why.rep));
    close_lingering(thread_.clock(), std::move(socket_), bytes_in(http_answer(why)));
}

void udp_tunnel_request::watch(std::function<void()> gone) {
    end_watch_.start(socket_, std::move(gone));
}

// ---- Its beginning

udp_tunnel::udp_tunnel(driver_ptr driver, tcp_socket socket, std::string early,
                       std::shared_ptr<const udp_settings> settings)
    : driver_(std::move(driver)),
      socket_(std::move(socket)),
      early_(std::move(early)),
      settings_(std::move(settings)),
      wait_(driver_->thread().clock(), [this] { on_wait_over(); }),
      idle_(driver_->thread().clock(), [this] { on_idle(); }) {}

void udp_tunnel::begin(const socks5::address& target, instant give_up,
                       const tcp_keepalive& keepalive) {
    set_tcp_keepalive(socket_.native_handle(), keepalive);
    kept_ = this;
    asked_for_ = target;
    give_up_ = give_up;
    // Both at once: the answer is there after one round trip.
    ask();
    stream_ =
        &driver_->open(socks5::encode(socks5::request{socks5::command::udp_associate, {}}), *this);
    touch();
    wait_.expires_at(give_up_);
    idle_.expires_after(settings_->idle);
}

void udp_tunnel::ask() {
    question_ = new name_question(
        driver_, [self = self_ptr(this)](const socks5::reply& reply) { self->on_resolved(reply); });
    auto about = asked_for_;
    about.port = 0;
    question_->ask(about);
}

void udp_tunnel::on_resolved(const socks5::reply& reply) {
    question_.reset();
    if (!socket_.is_open()) return;
    if (reply.code() != socks5::reply_code::succeeded) return fail({reply.code(), {}});
    auto at = reply.bnd;
    at.port = asked_for_.port;
    append(target_, at);
    open_if_ready();
}

void udp_tunnel::on_reply(const socks5::reply& reply) {
    if (reply.code() != socks5::reply_code::succeeded) return fail({reply.code(), {}});
    associated_ = true;
    driver_->core().on_connected(*stream_);
    open_if_ready();
}

void udp_tunnel::open_if_ready() {
    if (open_ || !associated_ || target_.empty()) return;
    open_ = true;
    driver_->thread().counters().on_reply(0);
    // The first words on it: the socket takes them, or is broken, which the read finds out.
    (void)::send(socket_.native_handle(), switching.data(), switching.size(),
                 MSG_DONTWAIT | MSG_NOSIGNAL);
    const self_ptr self(this);
    take(std::exchange(early_, {}));
    if (socket_.is_open()) wait_readable();
}

// ---- From the application

void udp_tunnel::wait_readable() {
    if (waiting_read_ || paused_) return;
    waiting_read_ = true;
    socket_.async_wait(tcp_socket::wait_read,
                       [self = self_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_read_ = false;
                           if (!error && self->socket_.is_open()) self->read();
                       });
}

void udp_tunnel::read() {
    const self_ptr self(this);
    while (up_bytes_ < tunnel_bytes_max) {
        const auto buffer = driver_->thread().ciphertext().first(tunnel_read_bytes);
        const auto size =
            ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait_readable();
        if (size <= 0) return end("its application has ended it");
        take({reinterpret_cast<const char*>(buffer.data()), static_cast<std::size_t>(size)});
        if (!socket_.is_open()) return;
    }
    paused_ = true;
}

void udp_tunnel::take(std::string_view bytes) {
    const auto now = std::chrono::steady_clock::now();
    while (!bytes.empty()) {
        const auto found = capsules_.next(bytes);
        bytes.remove_prefix(found.used);
        if (capsules_.failed()) return end("what its application sends are no capsules of UDP");
        if (!found.datagram) continue;
        if (found.datagram->size() > tunnel_datagram_max) {
            ++dropped_;
            continue;
        }
        up_bytes_ += found.datagram->size() + tunnel_datagram_cost;
        up_.push_back({std::string(*found.datagram), now});
    }
    if (!up_.empty() && stream_) driver_->core().datagrams_lane().on_readable(*stream_);
}

stream_owner::datagram_result udp_tunnel::read_datagram(bytes_span place) {
    const auto now = std::chrono::steady_clock::now();
    std::size_t taken = 0;
    while (!up_.empty() && taken == 0) {
        const auto next = std::move(up_.front());
        up_.pop_front();
        up_bytes_ -= next.bytes.size() + tunnel_datagram_cost;
        const auto size = target_.size() + next.bytes.size();
        if (now - next.since > settings_->max_delay || size > place.size()) {
            ++dropped_;
            continue;
        }
        std::copy(target_.begin(), target_.end(), place.begin());
        std::copy(next.bytes.begin(), next.bytes.end(),
                  place.begin() + static_cast<std::ptrdiff_t>(target_.size()));
        taken = size;
        touch();
    }
    if (paused_ && up_bytes_ < tunnel_bytes_max / 2) {
        paused_ = false;
        wait_readable();
    }
    return {taken, !up_.empty()};
}

// ---- To the application

bool udp_tunnel::on_datagram(bytes_view bytes) {
    if (!open_ || !socket_.is_open()) return false;
    const auto size = target_.size();
    const bool from_target =
        bytes.size() >= size && std::equal(target_.begin(), target_.end(), bytes.begin());
    // Others may send to the association's port, but were not asked for. What the connection does
    // not take is lost, as datagrams are.
    if (!from_target || !down_.empty()) {
        ++dropped_;
        return false;
    }
    touch();
    const auto payload = bytes.subspan(size);
    auto front = http::capsule_front(payload.size());
    std::array<::iovec, 2> parts{{{front.data(), front.size()},
                                  {const_cast<std::uint8_t*>(payload.data()), payload.size()}}};
    ::msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const auto sent = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent <= 0) {
        ++dropped_;
        return false; // A socket that is broken is read, too.
    }
    const auto done = static_cast<std::size_t>(sent);
    if (done == front.size() + payload.size()) return false;
    down_ = front;
    down_.append(reinterpret_cast<const char*>(payload.data()), payload.size());
    down_.erase(0, done);
    wait_writable();
    return false;
}

void udp_tunnel::wait_writable() {
    if (waiting_write_) return;
    waiting_write_ = true;
    socket_.async_wait(tcp_socket::wait_write,
                       [self = self_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_write_ = false;
                           if (!error && self->socket_.is_open()) self->flush();
                       });
}

void udp_tunnel::flush() {
    const auto sent =
        ::send(socket_.native_handle(), down_.data(), down_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) down_.erase(0, static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return end("its application has reset it");
    if (!down_.empty()) wait_writable();
}

// ---- Ends

void udp_tunnel::on_stream_readable() {
    if (!stream_) return;
    const self_ptr self(this);
    bytes_view view;
    while (stream_ && driver_->core().peek(*stream_, {&view, 1}) > 0) {
        const auto size = view.size();
        if (!associated_) reply_.insert(reply_.end(), view.begin(), view.end());
        driver_->consume(*stream_, size);
    }
    if (!associated_ && !reply_.empty() && socket_.is_open()) {
        const auto parsed = socks5::parse_reply(reply_);
        if (parsed.status == socks5::parse_status::done) on_reply(parsed.value);
        if (parsed.status == socks5::parse_status::failed) fail(refusals::no_reply);
    }
    if (!stream_ || !stream_->at_end()) return;
    end("the server has ended it");
    let_go();
}

void udp_tunnel::on_stream_reset(std::error_code why) {
    const self_ptr self(this);
    if (!open_)
        fail(why == errc::stream_denied ? refusals::denied : refusals::no_reply);
    else
        end("its stream was reset");
    let_go();
}

/// Before it is open: the application hears why. The first word holds.
void udp_tunnel::answer_with(const refusal& why) {
    if (!answer_.empty()) return;
    driver_->thread().counters().on_reply(static_cast<std::uint8_t>(why.rep));
    answer_ = http_answer(why);
}

void udp_tunnel::fail(const refusal& why) {
    if (!socket_.is_open()) return;
    answer_with(why);
    end("it could not be opened");
}

void udp_tunnel::end(const char* why) {
    if (!socket_.is_open()) return;
    const self_ptr self(this);
    if (!open_) answer_with(refusals::no_reply);
    log::debug("UDP tunnel ended, {}: {} datagrams dropped", why, dropped_);
    wait_.cancel();
    idle_.cancel();
    up_.clear();
    if (question_) std::exchange(question_, nullptr)->cancel();
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    close_lingering(driver_->thread().clock(), std::move(socket_), bytes_in(answer_));
    if (!stream_) return;
    // The server's answer to FIN is what lets go of a stream that it knows of.
    if (!stream_->opened()) return let_go();
    driver_->core().finish(*stream_);
}

void udp_tunnel::let_go() {
    if (!stream_) return;
    const auto self = std::move(kept_);
    driver_->core().release(*std::exchange(stream_, nullptr));
}

void udp_tunnel::on_wait_over() {
    if (!stream_ || stream_->opened()) return;
    asio::post(driver_->thread().context(), [self = self_ptr(this)] {
        if (self->stream_ && !self->stream_->opened()) self->fail(refusals::no_link);
    });
}

void udp_tunnel::on_idle() {
    const auto until = moved_ + settings_->idle;
    if (until > std::chrono::steady_clock::now()) return idle_.expires_at(until);
    asio::post(driver_->thread().context(),
               [self = self_ptr(this)] { self->end("it was idle (timeouts.udp_idle)"); });
}

} // namespace muxsocks::client
