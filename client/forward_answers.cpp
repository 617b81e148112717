// Of forward_connection: answers on their way to the application, and ends.

#include "client/forward_connection.hpp"

#include "client/http_answers.hpp"
#include "protocol/link/loop/lingering_close.hpp"
#include "protocol/program/log.hpp"
#include "socks5/message.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t views_at_once = 63;
/// Last words that nobody takes for so long are dropped.
constexpr auto last_words_limit = 5s;
constexpr auto sent_check = 10ms;
/// The longest reply of a server: RFC 1928 with a name.
constexpr std::size_t reply_bytes_max = 3 + socks5::address_bytes_max;

} // namespace

void forward_connection::on_stream_readable() {
    const self_ptr self(this);
    if (!waiting_write_) deliver();
}

void forward_connection::deliver() {
    const self_ptr self(this);
    while (way_ && !closed_) {
        std::array<bytes_view, views_at_once> views;
        const auto count = way_->peek(views);
        if (!replied_) {
            if (count == 0) break;
            if (!take_reply(views[0])) return;
            continue;
        }
        if (!exchanging_) {
            // What a server says unasked is the end of its connection (408, for example).
            if (count > 0) return drop_way();
            break;
        }
        if (walked_ == 0 && (count == 0 || answer_.complete())) {
            if (!write({})) return;
            if (answer_.complete()) return on_answered();
            break;
        }
        if (!pass({views.data(), count})) return;
        if (answer_.fault() && walked_ == 0) return on_wrong_answer();
    }
    if (!way_ || closed_) return;
    if (lost_) return on_lost(*lost_);
    if (way_->at_end()) on_end_of_stream();
}

void forward_connection::on_notice(const notice_frame& told) {
    if (!replied_) told_ = log::escape(told.text);
}

/// The server's SOCKS reply stands in front of everything. Returns whether to go on.
bool forward_connection::take_reply(bytes_view view) {
    const auto before = reply_.size();
    const auto size = std::min(view.size(), reply_bytes_max - before);
    reply_.resize(before + size);
    std::copy_n(view.begin(), size, reply_.begin() + static_cast<std::ptrdiff_t>(before));
    const auto parsed = socks5::parse_reply(reply_);
    if (parsed.status == socks5::parse_status::need_more) {
        consume(size);
        return true;
    }
    if (parsed.status == socks5::parse_status::failed) {
        refuse(refusals::no_reply);
        return false;
    }
    consume(parsed.used - before);
    reply_ = {};
    limit_.cancel();
    services_.thread.counters().on_reply(parsed.value.rep);
    const auto code = parsed.value.code();
    if (code != socks5::reply_code::succeeded) {
        say_and_close(http_answer(refusal{code, told_}));
        return false;
    }
    replied_ = true;
    way_->session()->on_connected();
    return true;
}

/// The next piece of the answer. Returns whether to go on; if not, the socket is waited for, or all
/// is over.
bool forward_connection::pass(std::span<const bytes_view> views) {
    const auto text_of = [](bytes_view bytes) {
        return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    if (walked_ > 0) return write(views);
    std::size_t seen = 0;
    for (const auto& view : views) {
        auto piece = answer_.next(text_of(view));
        if (!piece.as_they_are) {
            output_ += piece.text;
            consume(piece.used);
            if (answer_.begun()) {
                message_ = {};
                request_.reset();
            }
            return true;
        }
        walked_ += piece.used;
        seen += view.size();
        if (walked_ < seen || answer_.complete()) break;
    }
    return walked_ == 0 || write(views);
}

/// Sends the heads that wait, and behind them what of `views` has been walked.
bool forward_connection::write(std::span<const bytes_view> views) {
    std::array<::iovec, views_at_once + 1> parts;
    std::size_t count = 0;
    if (!output_.empty()) parts[count++] = {output_.data(), output_.size()};
    auto left = walked_;
    for (const auto& view : views) {
        const auto size = std::min(left, view.size());
        if (size == 0) break;
        parts[count++] = {const_cast<std::uint8_t*>(view.data()), size};
        left -= size;
    }
    if (count == 0) return true;
    ::msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const auto sent = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno == EINTR) return true;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            wait_writable();
        else
            cut();
        return false;
    }
    touch();
    auto bytes = static_cast<std::size_t>(sent);
    const auto own = std::min(bytes, output_.size());
    output_.erase(0, own);
    bytes -= own;
    walked_ -= bytes;
    if (bytes > 0) consume(bytes);
    // More than these views may have been walked before.
    if (output_.empty() && (walked_ == 0 || left > 0)) return true;
    wait_writable();
    return false;
}

void forward_connection::wait_writable() {
    if (waiting_write_) return;
    waiting_write_ = true;
    socket_.async_wait(tcp_socket::wait_write,
                       [self = self_ptr(this)](const boost::system::error_code& error) {
                           self->waiting_write_ = false;
                           if (!error && !self->closed_) self->deliver();
                       });
}

void forward_connection::on_answered() {
    if (answer_.upgraded()) return become_tunnel();
    if (body_.complete()) return finish_exchange();
    // The server has answered early, and may read on; or has it ended?
    if (lost_ || way_->at_end()) close_softly();
}

/// From here on both directions are whatever the two have agreed on.
void forward_connection::become_tunnel() {
    const self_ptr self = std::move(kept_);
    const auto way = std::exchange(way_, nullptr);
    stop();
    way->become_tunnel(std::move(socket_),
                       {reinterpret_cast<const std::uint8_t*>(input_.data()), input_.size()});
}

// ---- Ends

void forward_connection::on_stream_reset(std::error_code why) {
    const self_ptr self(this);
    if (!way_) return;
    if (!lost_) reset_ = why;
    const bool more = exchanging_ && replied_ && way_->unread() > 0;
    // With last words it is the second time: their memory is needed elsewhere.
    if (!more || lost_ || !way_->take_last_words()) return on_lost(why);
    lost_ = why;
    limit_.expires_after(last_words_limit);
    if (!waiting_write_) deliver();
}

void forward_connection::on_lost(std::error_code why) {
    if (!exchanging_) return drop_way();
    if (!replied_) return on_no_reply(why);
    if (answer_.complete() && walked_ == 0) return close_softly();
    on_cut_answer();
}

void forward_connection::on_end_of_stream() {
    if (!exchanging_) return drop_way();
    if (!replied_) return refuse(refusals::no_reply);
    if (answer_.complete() || answer_.ends_with_connection()) return close_softly();
    on_cut_answer();
}

void forward_connection::on_no_reply(std::error_code why) {
    const auto same = std::move(request_);
    const auto& core = way_->session()->driver().core();
    if (why == errc::stream_refused) same->refused_by.push_back(core.id());
    const bool elsewhere =
        body_read_ == 0 &&
        (!way_->opened() || why == errc::stream_refused || why == errc::going_away ||
         (core.closed() && why != errc::authentication_failed && repeatable_));
    if (elsewhere && ++same->tries < pending_request::tries_max &&
        std::chrono::steady_clock::now() < same->give_up) {
        drop_way();
        give_back(*same);
        return sink_->submit(same);
    }
    refuse(why == errc::stream_denied ? refusals::denied : refusals::no_reply);
}

/// The server's connection has ended, and the answer is not there, or not all of it.
void forward_connection::on_cut_answer() {
    if (answer_.begun()) return cut();
    // A connection that was kept for another request may end at any time, also just now.
    if (reused_ && !answer_.heard() && body_read_ == 0) {
        if (!repeatable_) return close_softly();
        drop_way();
        return ask_for_stream();
    }
    fail({502, "The target has closed the connection without a whole answer."});
}

void forward_connection::on_wrong_answer() {
    if (answer_.begun()) return cut();
    fail(answer_.fault());
}

/// Of a stream; one that is given up between two requests is none that broke.
void forward_connection::count_end() {
    auto why = std::exchange(reset_, {});
    if (!way_ || !replied_ || !way_->session()) return;
    if (!why && exchanging_ && !way_->at_end()) why = errc::stream_cancelled;
    services_.thread.counters().on_stream_ended(why, std::chrono::steady_clock::now() - began_);
}

void forward_connection::describe(shown_stream& to) const {
    to.bytes_up = bytes_up_;
    to.bytes_down = bytes_down_;
    to.began = began_;
    if (log::destinations_shown()) to.destination = named_;
}

void forward_connection::consume(std::size_t bytes) {
    bytes_down_ += bytes;
    way_->consume(bytes);
}

void forward_connection::drop_way() {
    count_end();
    request_.reset();
    reply_.clear();
    told_.clear();
    replied_ = false;
    walked_ = 0;
    if (!way_) return;
    const auto self = std::move(kept_);
    const bool words = std::exchange(lost_, std::nullopt).has_value();
    std::exchange(way_, nullptr)->let_go(words);
}

/// In place of a server's reply.
void forward_connection::refuse(const refusal& why) {
    services_.thread.counters().on_reply(static_cast<std::uint8_t>(why.rep));
    say_and_close(http_answer(why));
}

void forward_connection::fail(const http::fault& why) { say_and_close(http_answer(why)); }

void forward_connection::say_and_close(const std::string& answer) {
    const self_ptr self(this);
    drop_way();
    stop();
    output_ += answer;
    close_lingering(services_.thread.clock(), std::move(socket_),
                    {reinterpret_cast<const std::uint8_t*>(output_.data()), output_.size()});
}

void forward_connection::close_softly() {
    const self_ptr self(this);
    drop_way();
    stop();
    close_lingering(services_.thread.clock(), std::move(socket_), {});
}

void forward_connection::close() {
    const self_ptr self(this);
    drop_way();
    stop();
    boost::system::error_code ignored;
    socket_.close(ignored);
}

/// What the application has cannot be taken for whole: RST, behind all that was sent.
void forward_connection::cut() {
    const self_ptr self(this);
    drop_way();
    stop();
    if (unsent_bytes(socket_) == 0) return close_with_reset(socket_);
    moved_ = std::chrono::steady_clock::now();
    limit_.expires_after(sent_check);
    // Keeps this alive meanwhile.
    socket_.async_wait(tcp_socket::wait_error, [self](const auto& /*error*/) {});
}

/// No handler acts any more.
void forward_connection::stop() {
    closed_ = true;
    exchanging_ = false;
    limit_.cancel();
    idle_.cancel();
    boost::system::error_code ignored;
    socket_.cancel(ignored);
}

void forward_connection::on_limit() {
    // Not from here: what follows may end the deadline's own owner.
    asio::post(services_.thread.context(), [self = self_ptr(this)] {
        auto& me = *self;
        if (me.closed_) {
            if (!me.socket_.is_open()) return;
            if (unsent_bytes(me.socket_) == 0 ||
                std::chrono::steady_clock::now() - me.moved_ > last_words_limit)
                return close_with_reset(me.socket_);
            return me.limit_.expires_after(sent_check);
        }
        if (me.lost_) return me.cut();
        if (me.head_begun_) return me.close();
        if (me.way_ && !me.way_->opened()) me.refuse(refusals::no_link);
    });
}

void forward_connection::touch() {
    const auto allowed = services_.sink.stream_timeouts().idle;
    if (allowed.count() == 0) return;
    moved_ = std::chrono::steady_clock::now();
    idle_.expires_at(moved_ + allowed);
}

void forward_connection::on_timeouts_changed() { touch(); }

void forward_connection::on_idle() {
    asio::post(services_.thread.context(), [self = self_ptr(this)] {
        if (self->closed_) return;
        if (self->exchanging_)
            self->cut();
        else
            self->close();
    });
}

} // namespace muxsocks::client
