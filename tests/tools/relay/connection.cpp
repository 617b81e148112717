#include "tests/tools/relay/connection.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

namespace muxsocks::tools {

using boost::system::error_code;

connection::connection(context& shared, std::uint64_t id, tcp_socket client, on_end ended)
    : shared_(shared),
      id_(id),
      client_(std::move(client)),
      server_(shared.io.get_executor()),
      up_(shared, direction::up, client_, server_, *this),
      down_(shared, direction::down, server_, client_, *this),
      handshake_(shared.io.get_executor()),
      ended_(std::move(ended)) {
    ++shared_.counts.accepted;
    ++shared_.counts.live;
}

connection::~connection() { --shared_.counts.live; }

void connection::start() {
    prepare(client_);
    watch_for_reset(direction::up);
    if (shared_.config[direction::up].swallow_new) {
        up_.swallow();
        up_.start(shared_from_this());
        return;
    }
    duration round_trip{};
    for (const direction way : both_directions)
        round_trip += shared_.config[way].wire.delay;
    handshake_.expires_after(round_trip);
    handshake_.async_wait([this, keep = shared_from_this()](error_code error) {
        if (!error && !closed_) dial();
    });
}

void connection::dial() {
    error_code failed;
    server_.open(shared_.config.target.protocol(), failed);
    if (!failed) prepare(server_);
    if (failed || !bind_source()) {
        ++shared_.counts.target_failures;
        return cut(cut_style::rst, cut_side::both);
    }
    server_.async_connect(shared_.config.target,
                          [this, keep = shared_from_this()](error_code error) {
                              if (closed_) return;
                              if (!error) return carry();
                              ++shared_.counts.target_failures;
                              cut(cut_style::rst, cut_side::both);
                          });
}

/// Binds the outgoing socket to the next of the configured addresses, if there are any.
bool connection::bind_source() {
    settings& config = shared_.config;
    asio::ip::address source;
    if (config.random_source) {
        std::uniform_int_distribution<std::uint32_t> host(0x010001, 0xfefffe);
        source = asio::ip::address_v4(0x7f000000U | host(shared_.random));
    } else if (!config.sources.empty()) {
        source = config.sources[id_ % config.sources.size()];
    } else {
        return true;
    }
    error_code failed;
    server_.bind({source, 0}, failed);
    return !failed;
}

void connection::carry() {
    carrying_ = true;
    watch_for_reset(direction::down);
    for (const direction way : both_directions) {
        const direction_settings& config = shared_.config[way];
        if (config.swallow_new) (*this)[way].swallow();
        if (config.cut_after)
            (*this)[way].cut_at(draw(*config.cut_after, shared_.random), config.cut_after_style);
    }
    for (const direction way : both_directions)
        if (!closed_) (*this)[way].start(shared_from_this());
}

void connection::prepare(tcp_socket& socket) const {
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    const int bytes = shared_.config.socket_buffer_bytes;
    if (bytes == 0) return;
    socket.set_option(asio::socket_base::receive_buffer_size(bytes), ignored);
    socket.set_option(asio::socket_base::send_buffer_size(bytes), ignored);
}

/// Notices a RST also while the flow does not read because its queue is full.
void connection::watch_for_reset(direction way) {
    source_of(way).async_wait(
        tcp_socket::wait_error, [this, way, keep = shared_from_this()](error_code error) {
            if (error || closed_) return;
            int pending = 0;
            socklen_t length = sizeof pending;
            ::getsockopt(source_of(way).native_handle(), SOL_SOCKET, SO_ERROR, &pending, &length);
            if (pending != 0) on_destination_lost(opposite(way));
        });
}

void connection::run() {
    const auto keep = shared_from_this();
    up_.run();
    down_.run();
}

void connection::cut(cut_style style, cut_side side) {
    if (closed_) return;
    const auto keep = shared_from_this();
    ++shared_.counts.cuts;
    if (style == cut_style::rst && side == cut_side::both) {
        abort(client_);
        abort(server_);
        return end();
    }
    // One side, or a FIN: what still comes in is read and lost until the peers close by themselves,
    // since closing a socket with unread bytes would send a RST.
    up_.swallow();
    down_.swallow();
    for (const direction way : both_directions) {
        const cut_side here = way == direction::up ? cut_side::client : cut_side::server;
        if (closed_ || (side != cut_side::both && side != here)) continue;
        tcp_socket& socket = source_of(way);
        if (style == cut_style::fin) {
            ::shutdown(socket.native_handle(), SHUT_WR);
        } else {
            abort(socket);
            (*this)[way].source_reset();
        }
    }
    if (!carrying_ && !closed_) end();
}

void connection::cut_in(direction way, std::uint64_t bytes, cut_style style) {
    const auto keep = shared_from_this();
    (*this)[way].cut_in(bytes, style);
}

void connection::swallow(direction way) {
    const auto keep = shared_from_this();
    (*this)[way].swallow();
}

void connection::on_finished(direction) {
    if (up_.finished() && (down_.finished() || !carrying_)) end();
}

void connection::on_reset(direction way) {
    ++shared_.counts.resets_passed_on;
    abort(source_of(opposite(way)));
    end();
}

/// The socket that this direction writes to is dead: its RST travels back to the other side.
void connection::on_destination_lost(direction way) {
    (*this)[way].swallow();
    if (!closed_) (*this)[opposite(way)].source_reset();
}

void connection::on_cut_due(direction, cut_style style) { cut(style, cut_side::both); }

void connection::abort(tcp_socket& socket) {
    error_code ignored;
    socket.set_option(asio::socket_base::linger(true, 0), ignored);
    socket.close(ignored);
}

void connection::end() {
    if (std::exchange(closed_, true)) return;
    const auto keep = shared_from_this();
    up_.stop();
    down_.stop();
    error_code ignored;
    handshake_.cancel();
    client_.close(ignored);
    server_.close(ignored);
    if (ended_) ended_(*this);
}

} // namespace muxsocks::tools
