#include "protocol/link/link.hpp"

#include "protocol/link/tls/link_error.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace muxsocks {
namespace {

constexpr std::chrono::seconds linger_time{2};

std::error_code last_error() { return {errno, std::system_category()}; }

template <typename Value>
void set_option(int descriptor, int level, int name, Value value) {
    (void)::setsockopt(descriptor, level, name, &value, sizeof value);
}

/// Whether the socket is connected over a path on which loss takes long to mend. A lost SYN leaves
/// no round trip to know, and is loss.
bool is_long_path(int descriptor) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    return info.tcpi_state == TCP_ESTABLISHED && (info.tcpi_rtt == 0 || info.tcpi_rtt > 1000);
}

} // namespace

void set_link_options(int descriptor, const link_options& options) {
    set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT,
               static_cast<unsigned>(options.user_timeout.count()));
    set_option(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options.notsent_lowat);
    if (options.segment_max != 0)
        set_option(descriptor, IPPROTO_TCP, TCP_MAXSEG, static_cast<int>(options.segment_max));
    set_congestion(descriptor, options.congestion);
}

void set_congestion(int descriptor, const std::string& name) {
    if (name.empty() || (name == "auto" && !is_long_path(descriptor))) return;
    const std::string_view chosen = name == "auto" ? std::string_view("bbr") : name;
    (void)::setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, chosen.data(),
                       static_cast<socklen_t>(chosen.size()));
}

link::link(link_thread& thread, tcp_socket socket, std::optional<tls_engine> engine)
    : thread_(thread),
      socket_(std::move(socket)),
      engine_(std::move(engine)),
      queue_(socket_.native_handle()),
      since_(std::chrono::steady_clock::now()) {}

link::~link() = default;

void link::start(owner& to, bytes_view early) {
    const link_ptr self(this);
    owner_ = &to;
    if (!engine_) {
        on_up();
    } else {
        state_ = state::handshake;
        output_ = thread_.take_output();
        if (const auto error = engine_->start_handshake(output_))
            return down(error, engine_->error_text());
        flush();
    }
    if (!early.empty() && is_open()) receive(early);
    wait_read();
}

void link::start_up(owner& to, std::vector<std::uint8_t> received) {
    const link_ptr self(this);
    owner_ = &to;
    state_ = state::up;
    tail_ = std::move(received);
    deliver_again();
    wait_read();
}

void link::on_up() {
    state_ = state::up;
    const auto now = std::chrono::steady_clock::now();
    thread_.counters().on_link_up(now - std::exchange(since_, now));
    owner_->on_link_up(*this);
}

// ---- Input

void link::wait_read() {
    if (waiting_read_ || !reading_ || must_drain() || !socket_.is_open()) return;
    if (state_ == state::closed) return;
    waiting_read_ = true;
    socket_.async_wait(tcp_socket::wait_read,
                       [self = link_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_read_ = false;
                           if (!error) self->take_input();
                       });
}

void link::take_input() {
    if (!socket_.is_open() || !reading_) return;
    if (share_ && !share_->may_begin()) {
        waiting_read_ = true;
        return share_->later([self = link_ptr(this)] {
            self->waiting_read_ = false;
            self->take_input();
        });
    }
    std::optional<round_share::use> in_use;
    if (share_) in_use.emplace(*share_);
    if (!waiting_write_) output_interest_.on_input(socket_);
    on_readable();
    wait_read();
}

void link::set_trusted(bool on) {
    trusted_ = on;
    if (on && is_open()) wait_read();
}

void link::set_reading(bool on) {
    reading_ = on;
    if (on && is_open()) wait_read();
}

void link::on_readable() {
    if (state_ == state::closing) return drain_input();
    const auto buffer = engine_ ? thread_.ciphertext() : scratch().subspan(tail().size());
    const auto most = trusted_ ? read_max_ : distrusted_read_max;
    const auto size =
        ::recv(socket_.native_handle(), buffer.data(), std::min(buffer.size(), most), MSG_DONTWAIT);
    if (size < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return;
        const auto error = last_error();
        return down_behind(error, "the connection failed: " + error.message());
    }
    if (size == 0) {
        const auto error =
            engine_ ? engine_->end_of_file() : make_error_code(link_errc::connection_cut);
        const auto text = engine_ ? engine_->error_text() : std::string();
        return down_behind(error ? error : make_error_code(link_errc::connection_cut),
                           text.empty() ? "the peer closed the connection" : text);
    }
    const auto received = bytes_view(buffer).first(static_cast<std::size_t>(size));
    if (engine_) return receive(received);
    put_tail_first();
    deliver(tail().size() + received.size());
}

bytes_span link::scratch() { return thread_.plaintext(); }

void link::put_tail_first() {
    if (!tail_.empty()) std::memcpy(scratch().data(), tail().data(), tail().size());
}

void link::receive(bytes_view ciphertext) {
    if (!engine_) { // A plain link's early bytes.
        std::memcpy(scratch().data() + tail().size(), ciphertext.data(), ciphertext.size());
        put_tail_first();
        return deliver(tail().size() + ciphertext.size());
    }
    if (!output_.capacity()) output_ = thread_.take_output();
    for (bool more = true; more;) {
        const auto plain = scratch();
        const auto kept = tail().size();
        const auto result = engine_->decrypt(ciphertext, plain.subspan(kept), output_);
        ciphertext = ciphertext.subspan(result.ciphertext_used);
        more = result.more;
        if (state_ == state::handshake && engine_->handshake_done()) {
            on_up();
        }
        if (result.plaintext > 0 && is_open()) {
            put_tail_first();
            deliver(kept + result.plaintext);
        }
        if (result.error || result.peer_closed) deliver_all();
        if (result.error) {
            if (socket_.is_open() && !output_.empty()) flush(); // The alert.
            if (is_open()) down(result.error, engine_->error_text());
            return;
        }
        if (result.peer_closed) {
            if (is_open()) down(link_errc::connection_cut, "the peer closed the connection");
            return;
        }
        if (!is_open()) return;
    }
    flush();
}

void link::deliver(std::size_t size) {
    const auto bytes = bytes_view(scratch()).first(size);
    delivering_ = true;
    const auto used = owner_->on_link_bytes(*this, bytes);
    delivering_ = false;
    const auto rest = bytes.subspan(used);
    tail_.assign(rest.begin(), rest.end());
    tail_taken_ = 0;
    if (tail_.empty() && tail_.capacity() > 0) tail_.shrink_to_fit();
}

void link::deliver_again() {
    if (delivering_ || tail_.empty() || !is_open()) return;
    const link_ptr self(this);
    // In its place, where it stays as long as the owner looks at it.
    auto waiting = std::exchange(tail_, {});
    delivering_ = true;
    const auto used = owner_->on_link_bytes(*this, bytes_view(waiting).subspan(tail_taken_));
    delivering_ = false;
    tail_taken_ += used;
    if (tail_taken_ < waiting.size() && is_open())
        tail_ = std::move(waiting);
    else
        tail_taken_ = 0;
}

void link::deliver_all() {
    for (auto before = tail().size() + 1; is_open() && tail().size() < before;) {
        before = tail().size();
        deliver_again();
    }
}

void link::on_frames_left(bool any) {
    constexpr std::size_t least = 16 * 1024;
    read_max_ = any ? std::max(read_max_ / 2, least)
                    : std::min(read_max_ * 2, link_thread::ciphertext_size);
}

void link::drain_input() {
    // What still comes is of no interest; reading it keeps close() from turning into a reset that
    // would take our last words with it.
    const auto buffer = thread_.ciphertext();
    const auto size =
        ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) close_socket();
}

// ---- Output

void link::send(bytes_view plaintext) {
    if (!is_open()) return;
    if (!output_.capacity()) output_ = thread_.take_output();
    if (!engine_) return output_.append(plaintext);
    if (const auto error = engine_->encrypt(plaintext, output_)) down(error, engine_->error_text());
}

void link::flush() {
    if (waiting_write_ || !socket_.is_open()) return;
    const link_ptr self(this); // Its owner may drop it when the write fails.
    const bool path_full = write_out();
    if (output_.empty() || !socket_.is_open()) return;
    if (path_full)
        wait_room();
    else
        wait_write();
}

bool link::write_out() {
    while (!output_.empty()) {
        // The last words of a link that closes wait for nothing.
        const auto part = is_open() ? queue_.room(output_.size()) : output_.size();
        if (part == 0) return true;
        const auto size =
            ::send(socket_.native_handle(), output_.data(), part, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (size < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
            const auto error = last_error();
            down(error, "the connection failed: " + error.message());
            return false;
        }
        output_.consume(static_cast<std::size_t>(size));
    }
    if (output_.capacity() > 0) thread_.give_output(std::exchange(output_, {}));
    if (state_ == state::closing) {
        boost::system::error_code ignored;
        socket_.shutdown(tcp_socket::shutdown_send, ignored);
    }
    return false;
}

void link::wait_write() {
    waiting_write_ = true;
    output_interest_.on_wait();
    socket_.async_wait(tcp_socket::wait_write,
                       [self = link_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_write_ = false;
                           if (!error && self->socket_.is_open()) self->on_writable();
                       });
}

void link::wait_room() {
    waiting_write_ = true;
    if (!room_)
        room_ = std::make_unique<deadline>(thread_.clock(), [this] {
            const link_ptr self(this);
            waiting_write_ = false;
            if (socket_.is_open()) on_writable();
        });
    room_->expires_at(queue_.room_at(std::chrono::steady_clock::now()));
}

void link::on_writable() {
    queue_.on_writable(std::chrono::steady_clock::now());
    flush();
    wait_read();
    if (!waiting_write_ && state_ == state::up) owner_->on_link_writable(*this);
}

// ---- Ends

void link::down_behind(std::error_code error, std::string text) {
    if (!share_) return down(error, std::move(text));
    waiting_read_ = true; // There is nothing more to come.
    share_->behind([self = link_ptr(this), error, text = std::move(text)] {
        self->down(error, text); // Where it is closed meanwhile, no more than its socket.
    });
}

void link::down(std::error_code error, std::string text) {
    if (!is_open()) return close_socket();
    const link_ptr self(this);
    if (state_ == state::up)
        thread_.counters().on_link_lost(error);
    else
        thread_.counters().on_handshake_failed(error);
    close_socket();
    owner_->on_link_down(*this, error, text);
}

void link::close() {
    if (!is_open()) return;
    const link_ptr self(this);
    const bool was_up = state_ == state::up;
    if (was_up) thread_.counters().on_link_lost({});
    state_ = state::closing;
    reading_ = true;
    if (engine_ && was_up) {
        if (!output_.capacity()) output_ = thread_.take_output();
        engine_->shutdown(output_);
    }
    // The wait for input keeps this alive until the socket is closed.
    linger_ = std::make_unique<deadline>(thread_.clock(), [this] { close_socket(); });
    linger_->expires_after(linger_time);
    if (output_.empty())
        write_out();
    else
        flush();
    wait_read();
}

void link::abort(std::error_code why) {
    if (state_ == state::up) thread_.counters().on_link_lost(why);
    if (state_ != state::closed) close_socket();
}

void link::close_socket() {
    const link_ptr self(this);
    state_ = state::closed;
    boost::system::error_code ignored;
    socket_.close(ignored);
    output_.release();
    tail_.clear();
    tail_taken_ = 0;
    // Not destroyed here: this may be its expiry.
    if (linger_) linger_->cancel();
    if (room_) room_->cancel();
    if (linger_) asio::post(thread_.context(), [self] { self->linger_.reset(); });
}

link::parts link::take_apart(bytes_view received) {
    const link_ptr self(this);
    state_ = state::closed;
    parts taken;
    taken.engine = std::move(engine_);
    taken.received.assign(received.begin(), received.end());
    boost::system::error_code error;
    taken.descriptor = socket_.release(error);
    return taken;
}

std::vector<std::uint8_t> link::exporter() const {
    if (!engine_) return {};
    const auto& key = engine_->exporter();
    return {key.begin(), key.end()};
}

std::string link::peer_text() const {
    boost::system::error_code error;
    const auto peer = socket_.remote_endpoint(error);
    if (error) return {};
    const auto address = peer.address();
    const auto port = std::to_string(peer.port());
    return address.is_v6() ? "[" + address.to_string() + "]:" + port
                           : address.to_string() + ":" + port;
}

} // namespace muxsocks
