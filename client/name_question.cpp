#include "client/name_question.hpp"

#include <boost/asio/post.hpp>

namespace muxsocks::client {

void name_question::ask(const socks5::address& target) {
    kept_ = this;
    stream_ =
        &driver_->open(socks5::encode(socks5::request{socks5::command::resolve, target}), *this);
}

void name_question::cancel() {
    done_.reset();
    if (!stream_) return;
    driver_->core().reset(*stream_, reset_code::cancelled);
    end({});
}

void name_question::on_stream_readable() {
    if (!stream_) return;
    const boost::intrusive_ptr<name_question> self(this);
    bytes_view view;
    while (stream_ && driver_->core().peek(*stream_, {&view, 1}) > 0) {
        const auto size = view.size();
        reply_.insert(reply_.end(), view.begin(), view.end());
        driver_->consume(*stream_, size);
    }
    const auto parsed = socks5::parse_reply(reply_);
    if (parsed.status == socks5::parse_status::need_more && !stream_->fin_received) return;
    if (parsed.status == socks5::parse_status::done && stream_->at_end())
        driver_->core().finish(*stream_);
    end(parsed.status == socks5::parse_status::done
            ? parsed.value
            : socks5::make_reply(socks5::reply_code::general_failure));
}

void name_question::on_stream_reset(std::error_code why) {
    end(socks5::make_reply(why == errc::stream_denied ? socks5::reply_code::not_allowed
                                                      : socks5::reply_code::general_failure));
}

void name_question::on_handed_over() {
    const auto self = std::move(kept_);
    stream_ = nullptr;
    // Not from here: what follows may be about another stream of the session.
    asio::post(driver_->thread().context(), [self] {
        if (auto told = std::exchange(self->done_, {}))
            told(socks5::make_reply(socks5::reply_code::general_failure));
    });
}

void name_question::end(const socks5::reply& reply) {
    if (!stream_) return;
    const auto self = std::move(kept_);
    driver_->core().release(*std::exchange(stream_, nullptr));
    if (auto told = std::exchange(done_, {})) told(reply);
}

} // namespace muxsocks::client
