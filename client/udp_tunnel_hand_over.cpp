// Of udp_tunnel: how it goes to another process, and comes from one.

#include "client/udp_tunnel.hpp"

#include "protocol/link/loop/let_go.hpp"
#include "protocol/link/loop/tcp_keepalive.hpp"
#include "protocol/saved_fields.hpp"

#include <boost/asio/post.hpp>

namespace muxsocks::client {

// ---- While it waits for a session

bool udp_tunnel_request::save_connection(std::vector<std::uint8_t>& state,
                                         std::vector<int>& sockets) {
    if (!socket_.is_open()) return false;
    field_saver fields;
    auto kind = movable_kind::udp_tunnel;
    auto left = patience();
    std::vector<std::uint8_t> target;
    socks5::append(target, target_);
    fields(kind, left, target, early_);
    state = std::move(fields.bytes());
    sockets.push_back(socket_.native_handle());
    return true;
}

void udp_tunnel_request::on_connection_gone() {
    end_watch_.drop();
    let_go(socket_);
}

request_ptr udp_tunnel_request::load(link_thread& thread, tcp_socket& socket, bytes_view state,
                                     std::shared_ptr<const udp_settings> settings) {
    std::uint32_t left = 0;
    std::vector<std::uint8_t> target;
    std::string early;
    field_loader fields(state);
    fields(left, target, early);
    auto parsed = socks5::parse_address(target);
    if (!fields.done() || parsed.status != socks5::parse_status::done) return nullptr;
    request_ptr made(new udp_tunnel_request(thread, std::move(socket), std::move(parsed.value),
                                            std::move(early), std::move(settings)));
    made->set_patience(left);
    return made;
}

// ---- With its streams

/// What waits for the link stays here: it is old when the next process has one.
template <class Fields>
void udp_tunnel::each_field(Fields& fields) {
    const auto now = std::chrono::steady_clock::now();
    const auto milliseconds_of = [](auto time) {
        return static_cast<std::uint32_t>(
            std::max<std::int64_t>(time / std::chrono::milliseconds(1), 0));
    };
    auto idle_ms = milliseconds_of(now - moved_);
    auto patience_ms = milliseconds_of(give_up_ - now);
    std::vector<std::uint8_t> asked_for;
    socks5::append(asked_for, asked_for_);
    fields(idle_ms, patience_ms, asked_for, target_, reply_, associated_, open_, early_, capsules_,
           down_, dropped_);
    moved_ = now - std::chrono::milliseconds(idle_ms);
    give_up_ = now + std::chrono::milliseconds(patience_ms);
    asked_for_ = socks5::parse_address(asked_for).value;
}

void udp_tunnel::save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    if (!socket_.is_open()) return;
    field_saver fields;
    auto kind = stream_kind::udp_tunnel;
    fields(kind);
    each_field(fields);
    state = std::move(fields.bytes());
    sockets.push_back(socket_.native_handle());
}

void udp_tunnel::on_handed_over() {
    const auto self = std::move(kept_);
    stream_ = nullptr;
    wait_.cancel();
    idle_.cancel();
    muxsocks::let_go(socket_);
}

bool udp_tunnel::resume(const driver_ptr& driver, stream& s, bytes_view state, int socket,
                        std::shared_ptr<const udp_settings> settings,
                        const tcp_keepalive& keepalive) {
    const self_ptr made(new udp_tunnel(
        driver, tcp_socket(driver->thread().context().get_executor(), asio::ip::tcp::v4(), socket),
        {}, std::move(settings)));
    auto& me = *made;
    field_loader fields(state);
    me.each_field(fields);
    if (!fields.done()) {
        boost::system::error_code ignored;
        (void)me.socket_.release(ignored);
        return false;
    }
    me.stream_ = &s;
    s.context = static_cast<stream_owner*>(&me);
    me.kept_ = made;
    // Not before the thread runs: until then the socket is another process's.
    asio::post(driver->thread().context(), [made, keepalive] {
        set_tcp_keepalive(made->socket_.native_handle(), keepalive);
        made->go_on();
    });
    return true;
}

void udp_tunnel::go_on() {
    if (!stream_) return;
    const self_ptr self(this);
    if (stream_->end) return on_stream_reset(stream_->end);
    idle_.expires_at(moved_ + settings_->idle);
    if (!stream_->opened()) wait_.expires_at(give_up_);
    // Its question has stayed behind.
    if (target_.empty()) ask();
    if (!down_.empty()) wait_writable();
    if (open_) wait_readable();
    on_stream_readable();
}

} // namespace muxsocks::client
