#include "client/direct_relay.hpp"

#include "protocol/link/loop/let_go.hpp"
#include "protocol/link/loop/tcp_keepalive.hpp"
#include "protocol/program/log.hpp"
#include "protocol/saved_fields.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <cerrno>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

/// What one handler takes from a socket before others have their turn.
constexpr std::size_t direct_read_bytes = 64 * 1024;
constexpr int direct_reads_max = 4;
/// Last words that nobody takes for so long are dropped.
constexpr auto direct_words_limit = 5s;
constexpr auto direct_words_check = 10ms;

} // namespace

direct_relay::direct_relay(direct_dialer& by, tcp_socket application, tcp_socket target,
                           std::string destination)
    : thread_(by.thread()),
      timeouts_(by.stream_timeouts()),
      application_(std::move(application), thread_.counters().direct_bytes_up),
      target_(std::move(target), thread_.counters().direct_bytes_down),
      destination_(std::move(destination)),
      idle_(thread_.clock(), [this] { on_timeout(); }),
      tick_(thread_.clock(), [this] {
          // Not from within the tick: what follows may end its owner.
          asio::post(thread_.context(), [self = self_ptr(this)] { self->on_tick(); });
      }) {
    by.enlist(*this);
}

void direct_relay::start(bytes_view for_application, bytes_view for_target) {
    const self_ptr self(this);
    kept_ = this;
    for (auto* each : {&application_, &target_})
        set_tcp_keepalive(each->socket.native_handle(), timeouts_.keepalive);
    watch_time();
    application_.given += for_target.size();
    application_.total += for_target.size();
    const bool application_takes = send(application_, for_application);
    const bool target_takes = send(target_, for_target);
    if (application_takes) read(target_);
    if (target_takes) read(application_);
}

// ---- A hand-over

template <class Fields>
void direct_relay::each_field(Fields& fields) {
    fields(destination_);
    for (auto* each : {&application_, &target_})
        fields(each->given, each->unsent, each->sent, each->ended, each->finished);
}

bool direct_relay::save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    // Where a reset is on its way there are seconds left at most.
    if (over_ || resetting_ || application_.failed || target_.failed) return false;
    field_saver fields;
    auto kind = movable_kind::direct;
    fields(kind);
    each_field(fields);
    state = std::move(fields.bytes());
    sockets = {application_.socket.native_handle(), target_.socket.native_handle()};
    return true;
}

void direct_relay::on_connection_gone() {
    const auto self = std::move(kept_);
    over_ = true;
    if (is_linked()) unlink();
    idle_.cancel();
    tick_.cancel();
    for (auto* each : {&application_, &target_})
        let_go(each->socket);
}

void direct_relay::resume(direct_dialer& by, tcp_socket application, tcp_socket target,
                          bytes_view state) {
    const self_ptr made(new direct_relay(by, std::move(application), std::move(target), {}));
    field_loader fields(state);
    made->each_field(fields);
    if (fields.done()) return made->go_on();
    for (auto* each : {&made->application_, &made->target_})
        close_with_reset(each->socket);
}

void direct_relay::go_on() {
    const self_ptr self(this);
    kept_ = this;
    for (auto* each : {&application_, &target_})
        set_tcp_keepalive(each->socket.native_handle(), timeouts_.keepalive);
    watch_time();
    for (auto* each : {&application_, &target_}) {
        auto& from = other(*each);
        if (!each->unsent.empty())
            wait_write(*each);
        else if (!from.ended)
            wait_read(from);
        if (from.ended || !each->unsent.empty()) wait_error(from);
    }
}

// ---- From one to the other

void direct_relay::read(side& from) {
    auto& to = other(from);
    const auto buffer = thread_.ciphertext().first(direct_read_bytes);
    for (int reads = 0; reads < direct_reads_max; ++reads) {
        // What is for one that takes nothing more would be lost; that one is read to its end.
        if (over_ || resetting_ || to.failed) return;
        // Nothing may get in front of what waits for it.
        if (to.waiting_write) return wait_error(from);
        const auto size =
            ::recv(from.socket.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) return wait_read(from);
        if (size < 0) return reset_when_sent(to);
        if (size == 0) return on_end(from);
        from.given += static_cast<std::uint64_t>(size);
        from.total += static_cast<std::uint64_t>(size);
        touch();
        if (!send(to, buffer.first(static_cast<std::size_t>(size)))) return;
        if (static_cast<std::size_t>(size) < buffer.size()) break;
    }
    wait_read(from);
}

bool direct_relay::send(side& to, bytes_view bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const auto size = ::send(to.socket.native_handle(), bytes.data() + sent,
                                 bytes.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno != EAGAIN) {
            on_failed(to);
            return false;
        }
        if (size < 0) break;
        sent += static_cast<std::size_t>(size);
        touch();
    }
    if (sent == bytes.size()) return true;
    to.unsent.assign(bytes.begin() + static_cast<std::ptrdiff_t>(sent), bytes.end());
    to.sent = 0;
    wait_write(to);
    // Nothing is read meanwhile, but that its sender is gone must not go unseen.
    if (!resetting_) wait_error(other(to));
    return false;
}

void direct_relay::on_writable(side& to) {
    if (to.failed) return;
    const auto waiting = std::exchange(to.unsent, {});
    const auto left = bytes_view(waiting).subspan(to.sent);
    if (!send(to, left)) return;
    if (resetting_ == &to) return;
    const auto& from = other(to);
    if (from.ended)
        finish(to);
    else
        read(other(to));
}

void direct_relay::wait_read(side& from) {
    if (from.waiting_read) return;
    from.waiting_read = true;
    from.socket.async_wait(tcp_socket::wait_read,
                           [self = self_ptr(this), &from](const boost::system::error_code& error) {
                               from.waiting_read = false;
                               if (error || self->over_) return;
                               if (!from.waiting_write && !from.waiting_error)
                                   from.interest.on_input(from.socket);
                               self->read(from);
                           });
}

void direct_relay::wait_write(side& to) {
    if (to.waiting_write) return;
    to.waiting_write = true;
    to.interest.on_wait();
    to.socket.async_wait(tcp_socket::wait_write,
                         [self = self_ptr(this), &to](const boost::system::error_code& error) {
                             to.waiting_write = false;
                             if (!error && !self->over_) self->on_writable(to);
                         });
}

void direct_relay::wait_error(side& of) {
    if (of.waiting_error || of.waiting_read) return;
    of.waiting_error = true;
    of.socket.async_wait(tcp_socket::wait_error, [self = self_ptr(this),
                                                  &of](const boost::system::error_code& error) {
        of.waiting_error = false;
        if (error || self->over_) return;
        int pending = 0;
        ::socklen_t size = sizeof pending;
        (void)::getsockopt(of.socket.native_handle(), SOL_SOCKET, SO_ERROR, &pending, &size);
        // Without one the socket has only hung up: both ways are closed.
        if (pending != 0) self->on_failed(of);
    });
}

// ---- Ends

void direct_relay::on_end(side& from) {
    auto& to = other(from);
    // The kernel gives an end of file also where the error has been taken from the socket.
    if (from.failed) return reset_when_sent(to);
    from.ended = true;
    touch();
    watch_time();
    wait_error(from);
    if (!to.waiting_write) finish(to);
}

void direct_relay::finish(side& to) {
    boost::system::error_code ignored;
    to.socket.shutdown(tcp_socket::shutdown_send, ignored);
    to.finished = true;
    if (application_.finished && target_.finished) end("both directions finished");
}

/// It takes nothing more. What it had said before goes to the other first.
void direct_relay::on_failed(side& of) {
    if (resetting_ == &of) return end("reset by both sides");
    if (resetting_ || of.failed) return;
    of.failed = true;
    of.unsent = {};
    auto& to = other(of);
    if (of.ended || to.failed) return reset_when_sent(to);
    tick_.expires_after(direct_words_limit);
    // Not from here: the other's bytes may be in the scratch buffer still.
    asio::post(thread_.context(), [self = self_ptr(this), &of, &to] {
        if (!to.waiting_write) self->read(of);
    });
}

/// Nothing more comes for it, and what came may not look whole.
void direct_relay::reset_when_sent(side& to) {
    resetting_ = &to;
    in_kernel_ = unsent_bytes(to.socket);
    touch();
    make_close_a_reset(to.socket);
    boost::system::error_code ignored;
    other(to).socket.cancel(ignored);
    on_tick();
}

bool direct_relay::has_last_words(side& to) {
    const auto before = std::exchange(in_kernel_, unsent_bytes(to.socket));
    if (in_kernel_ < before) touch();
    return to.failed || (to.unsent.empty() && in_kernel_ == 0);
}

void direct_relay::on_tick() {
    if (over_) return;
    if (resetting_ && has_last_words(*resetting_)) return end("reset by one side");
    const bool late = std::chrono::steady_clock::now() - moved_ >= direct_words_limit;
    if (late) return end("reset by one side, and not read by the other");
    if (resetting_)
        tick_.expires_after(direct_words_check);
    else
        tick_.expires_after(direct_words_limit);
}

void direct_relay::cut() { end("the client has stopped"); }

void direct_relay::end(const char* why) {
    if (over_) return;
    const auto self = std::move(kept_);
    over_ = true;
    if (is_linked()) unlink();
    idle_.cancel();
    tick_.cancel();
    const bool whole = application_.finished && target_.finished;
    for (auto* each : {&application_, &target_}) {
        boost::system::error_code ignored;
        if (whole)
            each->socket.close(ignored);
        else
            close_with_reset(each->socket);
    }
    if (!log::enabled(log_level::debug)) return;
    const auto seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    log::debug("direct connection to {} ended: {} bytes up, {} bytes down, {:.3f} s, {}",
               destination_, application_.given, target_.given, seconds, why);
}

// ---- Time

std::chrono::milliseconds direct_relay::time_allowed() const {
    const bool half = application_.ended != target_.ended && timeouts_.half_closed.count() > 0;
    return half ? timeouts_.half_closed : timeouts_.idle;
}

void direct_relay::watch_time() {
    const auto allowed = time_allowed();
    if (allowed.count() > 0) idle_.expires_at(moved_ + allowed);
}

void direct_relay::on_timeouts_changed() {
    for (auto* each : {&application_, &target_})
        set_tcp_keepalive(each->socket.native_handle(), timeouts_.keepalive);
    idle_.cancel();
    watch_time();
}

void direct_relay::on_timeout() {
    const auto allowed = time_allowed();
    if (allowed.count() == 0) return;
    if (std::chrono::steady_clock::now() < moved_ + allowed) return watch_time();
    asio::post(thread_.context(), [self = self_ptr(this)] { self->end("timeouts.idle"); });
}

} // namespace muxsocks::client
