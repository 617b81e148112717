// Of forward_connection: how it goes to another process, and comes from one.

#include "client/forward_connection.hpp"

#include "client/direct_dialer.hpp"
#include "client/forward_request.hpp"
#include "protocol/link/loop/let_go.hpp"
#include "protocol/saved_fields.hpp"

#include <boost/asio/post.hpp>

namespace muxsocks::client {

template <class Fields>
void forward_connection::each_field(Fields& fields) {
    std::vector<std::uint8_t> target;
    socks5::append(target, target_);
    fields(services_.accept, input_, exchanging_, message_, body_, body_read_, repeatable_, named_,
           target, reply_, replied_, reused_, answer_, output_, walked_);
    target_ = socks5::parse_address(target).value;
}

int forward_connection::save_fields(std::vector<std::uint8_t>& state,
                                    std::vector<std::uint8_t>& of_way) {
    if (closed_ || !socket_.is_open()) return -1;
    field_saver fields;
    each_field(fields);
    fields(of_way);
    state.insert(state.end(), fields.bytes().begin(), fields.bytes().end());
    return socket_.native_handle();
}

bool forward_connection::load_fields(bytes_view state, std::vector<std::uint8_t>& of_way) {
    field_loader fields(state);
    each_field(fields);
    fields(of_way);
    return fields.done();
}

// ---- Without a stream

bool forward_connection::save_connection(std::vector<std::uint8_t>& state,
                                         std::vector<int>& sockets) {
    if (way_ && way_->session()) return false;
    state.push_back(
        static_cast<std::uint8_t>(way_ ? movable_kind::forward_direct : movable_kind::forward));
    std::vector<std::uint8_t> of_way;
    const int target = way_ && !lost_ ? way_->save(of_way) : -1;
    const int socket = save_fields(state, of_way);
    if (socket < 0 || (way_ && target < 0)) return false;
    sockets.push_back(socket);
    if (way_) sockets.push_back(target);
    return true;
}

void forward_connection::on_connection_gone() {
    const self_ptr self = std::move(kept_);
    const self_ptr too(this);
    if (const auto way = std::exchange(way_, nullptr)) way->on_moved();
    closed_ = true;
    exchanging_ = false;
    request_.reset();
    limit_.cancel();
    idle_.cancel();
    muxsocks::let_go(socket_);
}

void forward_connection::resume(bytes_view state, tcp_socket socket,
                                const front_services& services) {
    const self_ptr made(new forward_connection(std::move(socket), services, {}));
    std::vector<std::uint8_t> of_way;
    if (!made->load_fields(state, of_way)) return close_with_reset(made->socket_);
    made->go_on();
}

void forward_connection::resume_direct(bytes_view state, tcp_socket socket, tcp_socket target,
                                       direct_dialer& by, const front_services& services) {
    const self_ptr made(new forward_connection(std::move(socket), services, {}));
    std::vector<std::uint8_t> of_way;
    auto& me = *made;
    if (!me.load_fields(state, of_way)) {
        close_with_reset(target);
        return close_with_reset(me.socket_);
    }
    auto way = resume_direct_way(by, std::move(target), of_way, me);
    if (!way) return close_with_reset(me.socket_);
    me.sink_ = &by;
    me.way_ = std::move(way);
    me.kept_ = made;
    if (!me.answer_.begun()) me.request_ = new request(nullptr);
    me.go_on();
}

// ---- With one

void forward_connection::save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    state.push_back(static_cast<std::uint8_t>(stream_kind::forward));
    std::vector<std::uint8_t> of_way;
    const int socket = save_fields(state, of_way);
    if (socket < 0) return state.clear();
    sockets.push_back(socket);
}

void forward_connection::on_handed_over() { on_connection_gone(); }

bool forward_connection::resume(const driver_ptr& driver, stream& s, bytes_view state, int socket,
                                const front_services& services) {
    const self_ptr made(new forward_connection(
        tcp_socket(services.thread.context().get_executor(), asio::ip::tcp::v4(), socket), services,
        {}));
    auto& me = *made;
    std::vector<std::uint8_t> of_way;
    if (!me.load_fields(state, of_way)) {
        boost::system::error_code ignored;
        (void)me.socket_.release(ignored);
        return false;
    }
    me.sink_ = &services.sink;
    me.way_ = new session_way(driver, s, services.sink);
    me.kept_ = made;
    s.context = static_cast<stream_owner*>(&me);
    if (!me.answer_.begun()) {
        me.request_ = new request(nullptr);
        me.request_->give_up = std::chrono::steady_clock::now() + services.wait;
        if (!s.opened()) me.limit_.expires_at(me.request_->give_up);
    }
    // Not before the thread runs: until then the socket is another process's.
    asio::post(services.thread.context(), [made, end = s.end] {
        if (!made->way_) return;
        if (end) return made->on_stream_reset(end);
        made->go_on();
    });
    return true;
}

// ---- Either way

void forward_connection::go_on() {
    const self_ptr self(this);
    if (!way_) return exchanging_ ? ask_for_stream() : on_bytes();
    if (exchanging_ && body_.complete())
        on_parked();
    else
        wait_readable();
    deliver();
}

} // namespace muxsocks::client
