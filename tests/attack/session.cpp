#include "tests/attack/session.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <stdexcept>
#include <utility>

namespace muxsocks::attack {
namespace {

constexpr std::size_t batch_max = 16'000;
constexpr std::uint64_t acknowledge_after = 16;

view behind_offset(const wire::frame& frame) {
    return view(frame.payload).subspan(std::min(wire::offset_bytes, frame.payload.size()));
}

} // namespace

session::session(asio::io_context& io, destination where, std::string user, habits ways)
    : io_(io), where_(std::move(where)), user_(std::move(user)), ways_(ways), secrets_(user_) {}

awaitable<void> session::log_in() {
    link_ = std::make_shared<link>(io_, where_);
    co_await link_->connect();
    bytes out;
    wire::put(out, 0, wire::ctrl, secrets_.client_hello(ways_.initial_window, where_.tls));
    link_->send(out);
    const auto hello = co_await link_->receive();
    if (!hello.is(wire::hello)) throw std::runtime_error("no HELLO");
    out.clear();
    wire::put(out, 0, wire::ctrl, secrets_.client_auth(hello.payload, link_->exporter()));
    link_->send(out);
    const auto answer = co_await link_->receive();
    if (!secrets_.on_auth_ok(answer.payload)) throw std::runtime_error("no AUTH_OK");
    asio::co_spawn(io_, read(), asio::detached);
}

awaitable<void> session::come_back(std::uint32_t number) {
    link_ = std::make_shared<link>(io_, where_);
    kept_ = acknowledged_ = 0;
    cut_ = false;
    co_await link_->connect();
    bytes out;
    wire::put(out, 0, wire::ctrl, secrets_.client_join(number, link_->exporter()));
    link_->send(out);
    const auto answer = co_await link_->receive();
    if (!answer.is(wire::join_ok)) throw std::runtime_error("no JOIN_OK");
    asio::co_spawn(io_, read(), asio::detached);
}

std::uint32_t session::open(view first, bool finished) {
    const auto stream = next_stream_;
    next_stream_ += 2;
    sent_.push_back(0);
    received_.push_back(0);
    write(stream, first, finished);
    return stream;
}

void session::write(std::uint32_t stream, view content, bool finished) {
    auto& offset = sent_[stream / 2];
    wire::put_data(batch_, stream, offset, content, finished ? wire::fin : 0);
    offset += content.size();
    if (batch_.size() > batch_max) flush();
}

void session::reset(std::uint32_t stream) {
    constexpr std::uint32_t cancelled = 2;
    wire::put_rst(batch_, stream, cancelled);
    if (batch_.size() > batch_max) flush();
}

void session::flush() {
    if (batch_.empty()) return;
    if (up()) link_->send(batch_);
    batch_.clear();
}

void session::cut() {
    cut_ = true;
    if (link_) link_->cut();
}

void session::take(const wire::frame& frame) {
    if (frame.flags == wire::ping) wire::put(batch_, 0, wire::pong, frame.payload);
    if (frame.kept()) ++kept_;
    if (frame.is(wire::close))
        last_words_ = "CLOSE: " + std::string(frame.payload.begin() + 4, frame.payload.end());
    if (ways_.grants && (frame.flags & wire::data) != 0 && frame.stream / 2 < received_.size()) {
        auto& received = received_[frame.stream / 2];
        const auto quarter = ways_.initial_window / 4;
        const auto before = received / quarter;
        received += behind_offset(frame).size();
        if (received / quarter != before)
            wire::put_credit(batch_, frame.stream, received + ways_.initial_window);
    }
    if (frame.stream != 0 && on_frame) on_frame(frame);
}

awaitable<void> session::read() {
    const auto keep = shared_from_this();
    const auto own = link_;
    try {
        for (;;) {
            take(co_await own->receive());
            if (own->has_frame() && kept_ - acknowledged_ < acknowledge_after) continue;
            if (ways_.acknowledges && kept_ != acknowledged_)
                wire::put_ack(batch_, acknowledged_ = kept_);
            flush();
        }
    } catch (const std::exception& error) {
        if (cut_ || own != link_) co_return;
        own->cut();
        if (on_end) on_end(last_words_.empty() ? error.what() : last_words_);
    }
}

awaitable<std::shared_ptr<session>> try_log_in(asio::io_context& io, destination where,
                                               std::string user, habits ways) {
    auto made = std::make_shared<session>(io, std::move(where), std::move(user), ways);
    try {
        co_await made->log_in();
    } catch (const std::exception&) {
        co_return nullptr;
    }
    co_return made;
}

} // namespace muxsocks::attack
