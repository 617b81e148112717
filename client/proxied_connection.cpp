#include "client/proxied_connection.hpp"

#include "protocol/link/lingering_close.hpp"
#include "protocol/program/log.hpp"
#include "socks5/message.hpp"

#include <boost/asio/post.hpp>

namespace muxsocks::client {
namespace {

constexpr unsigned tries_max = 3;

} // namespace

void answer(deadlines& clock, pending_request request, socks5::reply_code rep) {
    log::debug("request for {} answered with REP {:#04x} ({})", request.destination,
               static_cast<unsigned>(rep), socks5::to_text(rep));
    close_lingering(clock, std::move(request.socket), socks5::encode(socks5::make_reply(rep)));
}

client_relay::client_relay(driver_ptr driver, pending_request request,
                           const relay_timeouts& timeouts, request_sink& sink)
    : relay(std::move(driver), std::move(request.socket), timeouts),
      sink_(sink),
      destination_(request.destination),
      began_(std::chrono::steady_clock::now()) {
    opening_ = std::make_unique<opening_state>(std::move(request), driver_->thread().clock(),
                                               [this] { on_wait_over(); });
}

void client_relay::begin() {
    const auto& request = opening_->request;
    auto& s = driver_->open(request.request, *this);
    if (!request.early.empty()) driver_->core().write(s, request.early);
    opening_->wait.expires_at(request.give_up);
    start(s);
}

bool client_relay::on_first_bytes(std::span<const bytes_view> bytes) {
    if (!opening_) return true;
    // Nearly always the reply is one view; one that is cut is put together.
    std::vector<std::uint8_t> joined;
    auto input = bytes[0];
    if (bytes.size() > 1) {
        for (const auto& each : bytes)
            joined.insert(joined.end(), each.begin(), each.end());
        input = joined;
    }
    const auto parsed = socks5::parse_reply(input);
    if (parsed.status == socks5::parse_status::need_more && !stream_->fin_received) return false;
    if (parsed.status != socks5::parse_status::done) {
        on_no_reply();
        return false;
    }
    rep_ = parsed.value.rep;
    id_ = stream_->id;
    if (parsed.value.code() == socks5::reply_code::succeeded)
        driver_->core().on_connected(*stream_);
    opening_.reset();
    return true;
}

void client_relay::on_no_reply() {
    const boost::intrusive_ptr<client_relay> self(this);
    auto request = std::move(opening_->request);
    request.socket = std::move(socket_);
    driver_->core().reset(*stream_, reset_code::cancelled);
    end(errc::stream_internal);
    answer(driver_->thread().clock(), std::move(request), socks5::reply_code::general_failure);
}

bool client_relay::on_stream_end() {
    if (opening_) {
        on_no_reply();
        return true;
    }
    if (rep_ == static_cast<std::uint8_t>(socks5::reply_code::succeeded)) return false;
    // A refusal is the end of the connection, whether or not the application closes it.
    const boost::intrusive_ptr<client_relay> self(this);
    driver_->core().finish(*stream_);
    boost::system::error_code ignored;
    socket_.cancel(ignored);
    close_lingering(driver_->thread().clock(), std::move(socket_), {});
    end({});
    return true;
}

bool client_relay::on_reset_before_bytes(std::error_code why) {
    auto opening = std::move(opening_);
    if (!opening) return false;
    auto& request = opening->request;
    request.socket = std::move(socket_);
    if (why == errc::stream_refused) request.refused_by.push_back(driver_->core().id());
    if (can_go_elsewhere(why, request) && ++request.tries < tries_max &&
        std::chrono::steady_clock::now() < request.give_up)
        sink_.submit(std::move(request));
    else
        answer(driver_->thread().clock(), std::move(request),
               why == errc::stream_denied ? socks5::reply_code::not_allowed
                                          : socks5::reply_code::general_failure);
    return true;
}

bool client_relay::can_go_elsewhere(std::error_code why, const pending_request& request) const {
    // What the stream has taken from the socket is gone with it.
    if (bytes_up_ > 0) return false;
    if (!stream_->opened() || why == errc::stream_refused || why == errc::going_away) return true;
    // The session is over and nobody knows how far the request came: it may be sent again as long
    // as the target can have had nothing but a connection.
    return driver_->core().closed() && why != errc::authentication_failed && request.early.empty();
}

void client_relay::on_wait_over() {
    if (!stream_ || stream_->opened()) return;
    // Not from here: the deadline must outlive its own handler.
    asio::post(driver_->thread().context(), [self = boost::intrusive_ptr<client_relay>(this)] {
        if (!self->stream_ || self->stream_->opened() || !self->opening_) return;
        auto request = std::move(self->opening_->request);
        request.socket = std::move(self->socket_);
        self->end(errc::stream_timeout);
        answer(self->driver_->thread().clock(), std::move(request),
               socks5::reply_code::general_failure);
    });
}

void client_relay::on_ended(std::error_code why) {
    if (!log::enabled(log_level::debug) || rep_ == no_reply) return;
    const auto seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
    log::debug("stream {} to {} ended: REP {:#04x}, {} bytes up, {} bytes down, {:.3f} s, {}", id_,
               destination_, rep_, bytes_up_, bytes_down_, seconds,
               why ? why.message() : "both directions finished");
}

} // namespace muxsocks::client
