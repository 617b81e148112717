#include "protocol/link/relay.hpp"

#include "protocol/link/loop/let_go.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace muxsocks {
namespace {

using relay_ptr = boost::intrusive_ptr<relay>;

constexpr std::size_t views_at_once = 64;
/// About what a stream, its relay and its socket's place in the event loop take.
constexpr std::size_t stream_footprint = 1024;

/// Last words that nobody takes for so long are dropped, so that the reset is not kept from who
/// only waits for that. Whoever has been sent words and does not read them has a full socket, and
/// would have no more of them without a proxy in between. The longer time is the side's that reads
/// them, which passes them on at once where they are taken.
constexpr std::chrono::seconds unread_words_limit{8};
constexpr std::chrono::seconds unwritten_words_limit{5};
constexpr std::chrono::milliseconds written_check{10};

} // namespace

relay::relay(driver_ptr driver, tcp_socket socket, const relay_timeouts& timeouts)
    : driver_(std::move(driver)),
      socket_(std::move(socket)),
      began_(std::chrono::steady_clock::now()),
      timeouts_(timeouts),
      moved_(began_) {}

relay::~relay() = default;

void relay::start(stream& s) {
    stream_ = &s;
    s.context = static_cast<stream_owner*>(this);
    kept_ = this;
    set_tcp_keepalive(socket_.native_handle(), timeouts_.keepalive);
    if (timeouts_.idle.count() > 0) touch();
    wait_readable();
    if (s.unread_bytes() > 0 || s.fin_received) deliver();
}

// ---- A hand-over

void relay::save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    // local end u8 | stream end u8 | bytes up u64 | bytes down u64 | idle ms u32 | output errno u32
    const auto idle = std::chrono::steady_clock::now() - moved_;
    const auto at = state.size();
    state.resize(at + state_size);
    const auto to = state.data() + at;
    to[0] = static_cast<std::uint8_t>(local_ended_);
    to[1] = static_cast<std::uint8_t>(stream_ended_);
    store_u64(to + 2, bytes_up_);
    store_u64(to + 10, bytes_down_);
    store_u32(to + 18, static_cast<std::uint32_t>(idle / std::chrono::milliseconds(1)));
    store_u32(to + 22, output_failed() ? static_cast<std::uint32_t>(last_words_->error) : 0);
    sockets.push_back(socket_.native_handle());
}

void relay::on_handed_over() {
    const auto self = std::move(kept_);
    stream_ = nullptr;
    parking_.reset();
    timeout_.reset();
    last_words_.reset();
    let_go(socket_);
}

void relay::resume(stream& s, bytes_view state) {
    const auto from = state.data();
    local_ended_ = from[0] != 0;
    stream_ended_ = from[1] != 0;
    bytes_up_ = load_u64(from + 2);
    bytes_down_ = load_u64(from + 10);
    moved_ = std::chrono::steady_clock::now() - std::chrono::milliseconds(load_u32(from + 18));
    const auto error = static_cast<int>(load_u32(from + 22));
    stream_ = &s;
    s.context = static_cast<stream_owner*>(this);
    kept_ = this;
    // Not before the thread runs: until then the socket is another process's.
    asio::post(driver_->thread().context(), [self = relay_ptr(this), error] {
        if (self->stream_) self->go_on(error);
    });
}

void relay::go_on(int error) {
    const relay_ptr self(this);
    auto& s = *stream_;
    set_tcp_keepalive(socket_.native_handle(), timeouts_.keepalive);
    watch_time();
    if (s.end) return on_stream_reset(s.end);
    if (error != 0) {
        auto& words = begin_last_words();
        words.error = error;
        words.position = bytes_up_;
        words.tick.expires_after(unread_words_limit);
        return driver_->core().on_readable(s);
    }
    if (!local_ended_)
        wait_readable();
    else if (!stream_ended_)
        on_parked();
    if (s.unread_bytes() > 0 || s.fin_received) deliver();
    check_done();
}

// ---- From the socket into the stream

void relay::wait_readable() {
    if (waiting_read_ || !socket_.is_open()) return;
    waiting_read_ = true;
    socket_.async_wait(tcp_socket::wait_read,
                       [self = relay_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_read_ = false;
                           if (!error && self->stream_) self->on_local_readable();
                       });
}

void relay::on_local_readable() {
    if (output_failed()) {
        driver_->core().on_readable(*stream_);
        return;
    }
    if (!waiting_write_ && !waiting_error_) output_interest_.on_input(socket_);
    if (bytes_down_ == 0 && early_end_cancels()) {
        std::uint8_t byte = 0;
        const auto size = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (size == 0) {
            driver_->core().reset(*stream_, reset_code::cancelled);
            return finish_local();
        }
        // This has taken the socket's error: a later read would see an end of file.
        if (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return on_local_error();
    }
    driver_->core().on_readable(*stream_);
    if (stream_->opened() && stream_->send.available() == 0) on_parked();
    if (driver_->current_link() == nullptr) on_parked();
    // Until its turn, which may be long in coming where the peer takes nothing.
    if (!local_ended_ && !waiting_read_) park();
}

stream_owner::read_result relay::read_for_turn(const read_slot& slot) {
    unpark();
    std::array<::iovec, read_slot::places_max> places;
    for (std::size_t i = 0; i < slot.count; ++i)
        places[i] = {slot.places[i].data(), slot.places[i].size()};
    const auto size =
        slot.count == 1
            ? ::recv(socket_.native_handle(), places[0].iov_base, places[0].iov_len, MSG_DONTWAIT)
            : ::readv(socket_.native_handle(), places.data(), static_cast<int>(slot.count));
    if (size < 0) {
        const bool nothing_yet = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (nothing_yet) wait_readable();
        return {0, read_outcome::drained, !nothing_yet};
    }
    if (timeout_) moved_ = std::chrono::steady_clock::now();
    bytes_up_ += static_cast<std::uint64_t>(size);
    if (output_failed()) {
        // RST comes behind its last words, and behind FIN if that was one: an end of file is what
        // the kernel gives also where the error has been taken from it. Of RST behind FIN it says
        // EPIPE.
        if (size > 0) return {static_cast<std::size_t>(size), read_outcome::more, false};
        const bool fin = last_words_->error == EPIPE;
        return {0, fin ? read_outcome::end : read_outcome::drained, true};
    }
    if (size == 0) {
        local_ended_ = true;
        if (timeouts_.half_closed.count() > 0) touch();
        if (stream_ended_)
            asio::post(driver_->thread().context(),
                       [self = relay_ptr(this)] { self->check_done(); });
        else
            on_parked(); // Nothing is read any more, but a reset must not go unseen.
        return {0, read_outcome::end, false};
    }
    const auto bytes = static_cast<std::size_t>(size);
    if (bytes == slot.size) {
        park();
        return {bytes, read_outcome::more, false};
    }
    wait_readable();
    return {bytes, read_outcome::drained, false};
}

void relay::on_read_failed() { on_local_error(); }

void relay::on_parked() {
    if (stream_ && !local_ended_ && !waiting_read_) park();
    if (waiting_error_ || waiting_read_ || output_failed() || !socket_.is_open()) return;
    waiting_error_ = true;
    socket_.async_wait(tcp_socket::wait_error, [self = relay_ptr(this)](
                                                   const boost::system::error_code& error) {
        self->waiting_error_ = false;
        if (error || !self->stream_) return;
        int pending = 0;
        ::socklen_t size = sizeof pending;
        (void)::getsockopt(self->socket_.native_handle(), SOL_SOCKET, SO_ERROR, &pending, &size);
        // Without one the socket has only hung up: both ways are closed.
        if (pending != 0) self->on_output_failed(pending);
    });
}

void relay::park() {
    // An application's own socket is not what a peer makes us hold.
    if (driver_->core().side() == role::client || !socket_.is_open()) return;
    if (!parking_) parking_ = std::make_unique<parking>(*this);
    if (!parking_->is_linked()) driver_->thread().parked().add(*parking_);
}

void relay::unpark() {
    if (!parking_ || !parking_->is_linked()) return;
    parking_->leave();
    if (stream_->outside == 0) return;
    const auto now = std::chrono::steady_clock::now();
    driver_->core().hold_outside(*stream_, 0, now, now);
}

bool relay::parking::look() {
    const auto bytes = kernel_memory_of(of.socket_.native_handle());
    const auto now = std::chrono::steady_clock::now();
    return of.driver_->core().hold_outside(*of.stream_, bytes, now, now - parked_sockets::patience);
}

void relay::parking::leave() {
    if (is_linked()) of.driver_->thread().parked().remove(*this);
}

void relay::on_local_error() {
    if (!stream_) return;
    driver_->core().reset(*stream_, reset_code::cancelled);
    reset_local();
}

// ---- Last words

/// The socket takes nothing more. What it had said before is still to be read.
void relay::on_output_failed(int error) {
    if (!stream_ || output_failed()) return;
    int input = 0;
    (void)::ioctl(socket_.native_handle(), FIONREAD, &input);
    const bool heard = local_ended_ || (input == 0 && error != EPIPE);
    const bool cancels = bytes_down_ == 0 && early_end_cancels();
    if (heard || cancels || stream_->closed || stream_->rst_wanted) return on_local_error();
    auto& words = begin_last_words();
    words.error = error;
    words.position = bytes_up_;
    words.tick.expires_after(unread_words_limit);
    auto& core = driver_->core();
    core.discard(*stream_);
    core.on_readable(*stream_);
}

relay::last_words& relay::begin_last_words() {
    last_words_ = std::make_unique<last_words>(driver_->thread().clock(), [this] {
        // Not from within the tick: what follows may destroy it.
        asio::post(driver_->thread().context(),
                   [self = relay_ptr(this)] { self->on_last_words_tick(); });
    });
    return *last_words_;
}

void relay::on_last_words_tick() {
    if (!stream_ || !last_words_) return;
    auto& words = *last_words_;
    if (words.error == 0) return reset_when_written();
    const bool moves = std::exchange(words.position, bytes_up_) != bytes_up_;
    if (!moves && driver_->current_link()) return on_local_error();
    words.tick.expires_after(unread_words_limit);
}

// ---- From the stream into the socket

void relay::on_stream_readable() {
    const relay_ptr self(this);
    if (!waiting_write_) deliver();
}

void relay::deliver() {
    const relay_ptr self(this);
    auto& core = driver_->core();
    while (stream_ && stream_->unread_bytes() > 0) {
        std::array<bytes_view, views_at_once> views;
        const auto count = core.peek(*stream_, views);
        if (bytes_down_ == 0 && !on_first_bytes({views.data(), count})) return;
        std::array<::iovec, views_at_once> parts;
        std::size_t wanted = 0;
        for (std::size_t i = 0; i < count; ++i) {
            parts[i] = {const_cast<std::uint8_t*>(views[i].data()), views[i].size()};
            wanted += views[i].size();
        }
        ::msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        const auto size =
            count == 1 ? ::send(socket_.native_handle(), views[0].data(), views[0].size(),
                                MSG_DONTWAIT | MSG_NOSIGNAL)
                       : ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return wait_writable();
            return on_output_failed(errno);
        }
        if (timeout_) moved_ = std::chrono::steady_clock::now();
        bytes_down_ += static_cast<std::uint64_t>(size);
        driver_->consume(*stream_, static_cast<std::size_t>(size));
        if (static_cast<std::size_t>(size) < wanted) return wait_writable();
    }
    if (stream_ && last_words_) return reset_when_written();
    if (stream_ && stream_->at_end() && !stream_ended_ && !on_stream_end()) {
        stream_ended_ = true;
        boost::system::error_code ignored;
        socket_.shutdown(tcp_socket::shutdown_send, ignored);
        if (timeouts_.half_closed.count() > 0) touch();
        // A version 1 peer's FIN closes both directions.
        if (stream_->closed) local_ended_ = true;
        check_done();
    }
}

void relay::wait_writable() {
    if (waiting_write_) return;
    waiting_write_ = true;
    output_interest_.on_wait();
    socket_.async_wait(tcp_socket::wait_write,
                       [self = relay_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_write_ = false;
                           if (error) return;
                           self->driver_->share().run([self] {
                               if (self->stream_ && !self->waiting_write_) self->deliver();
                           });
                       });
}

void relay::on_stream_reset(std::error_code why) {
    const relay_ptr self(this);
    if (!stream_) return;
    if (bytes_down_ == 0 && on_reset_before_bytes(why)) return end(why);
    const bool more = stream_->unread_bytes() > 0 || unsent_bytes(socket_) > 0;
    // With last words it is the second time: their memory is needed elsewhere.
    if (!more || last_words_ || driver_->core().closed() || !driver_->take_last_words()) {
        close_with_reset(socket_);
        return end(why);
    }
    auto& words = begin_last_words();
    words.why = why;
    words.position = bytes_down_ - unsent_bytes(socket_);
    words.moved = stream_->unread_bytes() > 0 ? stream_->moved : std::chrono::steady_clock::now();
    make_close_a_reset(socket_);
    reset_when_written();
}

/// The stream has ended by RST: so does the socket, once it has sent all that came before.
void relay::reset_when_written() {
    if (output_failed()) return;
    auto& words = *last_words_;
    const auto unread = stream_->unread_bytes();
    const auto unsent = unsent_bytes(socket_);
    const auto at = std::chrono::steady_clock::now();
    const auto position = bytes_down_ - unsent;
    if (position != std::exchange(words.position, position)) words.moved = at;
    if ((unread == 0 && unsent == 0) || at - words.moved >= unwritten_words_limit) {
        close_with_reset(socket_);
        return end(words.why);
    }
    if (unread > 0)
        words.tick.expires_after(unwritten_words_limit);
    else
        words.tick.expires_after(written_check);
}

// ---- Ends

void relay::check_done() {
    if (stream_ && local_ended_ && stream_ended_) finish_local();
}

void relay::finish_local() {
    const relay_ptr self(this);
    boost::system::error_code ignored;
    socket_.close(ignored);
    end({});
}

void relay::reset_local() {
    const relay_ptr self(this);
    close_with_reset(socket_);
    end(errc::stream_cancelled);
}

void relay::end(std::error_code why) {
    if (!stream_) return;
    const auto self = std::move(kept_);
    const auto released = std::exchange(stream_, nullptr);
    parking_.reset();
    timeout_.reset();
    if (last_words_ && last_words_->why) driver_->give_last_words();
    last_words_.reset();
    driver_->thread().counters().on_stream_ended(why, std::chrono::steady_clock::now() - began_);
    on_ended(why);
    driver_->core().release(*released);
    driver_->thread().on_freed(stream_footprint);
}

void relay::describe(shown_stream& to) const {
    to.bytes_up = bytes_up_;
    to.bytes_down = bytes_down_;
    to.began = began_;
}

// ---- Time

std::chrono::milliseconds relay::time_allowed() const {
    const bool half = local_ended_ != stream_ended_ && timeouts_.half_closed.count() > 0;
    return half ? timeouts_.half_closed : timeouts_.idle;
}

void relay::touch() {
    moved_ = std::chrono::steady_clock::now();
    watch_time();
}

void relay::watch_time() {
    const auto allowed = time_allowed();
    if (!timeout_ && allowed.count() == 0) return;
    if (!timeout_)
        timeout_ = std::make_unique<deadline>(driver_->thread().clock(), [this] { on_timeout(); });
    if (allowed.count() > 0) timeout_->expires_at(moved_ + allowed);
}

void relay::on_timeouts_changed() {
    set_tcp_keepalive(socket_.native_handle(), timeouts_.keepalive);
    const auto allowed = time_allowed();
    if (allowed.count() == 0) return; // on_timeout() sees that, too.
    if (!timeout_) return touch();
    timeout_->expires_at(moved_ + allowed);
}

void relay::on_timeout() {
    const auto allowed = time_allowed();
    if (allowed.count() == 0) return;
    const auto due = moved_ + allowed;
    if (std::chrono::steady_clock::now() < due) return timeout_->expires_at(due);
    const relay_ptr self(this);
    driver_->core().reset(*stream_, reset_code::cancelled);
    close_with_reset(socket_);
    // Not from within end(): this runs inside the deadline's own handler.
    asio::post(driver_->thread().context(), [self] { self->end(errc::stream_timeout); });
}

} // namespace muxsocks
