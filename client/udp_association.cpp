#include "client/udp_association.hpp"

#include "protocol/link/loop/let_go.hpp"
#include "protocol/link/loop/lingering_close.hpp"
#include "protocol/program/log.hpp"
#include "protocol/saved_fields.hpp"
#include "socks5/udp_header.hpp"

#include <boost/asio/post.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>

namespace muxsocks::client {
namespace {

namespace ip = asio::ip;
using association_ptr = boost::intrusive_ptr<udp_association>;

/// What SOCKS has in front of the address: not in pieces.
constexpr std::array<std::uint8_t, socks5::udp_header::front_size> whole_front{};
/// Datagrams that one turn passes over, dropped ones, before others have theirs.
constexpr int datagram_looks_max = 64;

constexpr refusal not_possible{socks5::reply_code::command_not_supported,
                               "There is no UDP by this connection.", false};
constexpr refusal no_socket{socks5::reply_code::general_failure, "There is no UDP socket for it.",
                            false};

ip::address plain_address(const ip::address& address) {
    if (address.is_v4() || !address.to_v6().is_v4_mapped()) return address;
    return ip::make_address_v4(ip::v4_mapped, address.to_v6());
}

socks5::address socks_address(const ip::address& address, std::uint16_t port) {
    return address.is_v4() ? socks5::address::from_ipv4(address.to_v4().to_bytes(), port)
                           : socks5::address::from_ipv6(address.to_v6().to_bytes(), port);
}

/// What the request named, if that is an address at all.
std::optional<udp_gate::endpoint> hinted(const socks5::address& one) {
    if (one.type == socks5::address::kind::domain) return {};
    if (one.type == socks5::address::kind::ipv6)
        return udp_gate::endpoint(plain_address(ip::address_v6(one.ip)), one.port);
    return udp_gate::endpoint(ip::address_v4({one.ip[0], one.ip[1], one.ip[2], one.ip[3]}),
                              one.port);
}

/// The addresses of the two ends; nothing for what is no TCP, such as a unix-domain socket.
struct control_ends {
    ip::address local;
    ip::address remote;
};
std::optional<control_ends> ends_of(tcp_socket& control) {
    ip::tcp::endpoint local;
    ip::tcp::endpoint remote;
    auto local_size = static_cast<socklen_t>(local.capacity());
    auto remote_size = static_cast<socklen_t>(remote.capacity());
    const int descriptor = control.native_handle();
    if (::getsockname(descriptor, local.data(), &local_size) != 0 ||
        ::getpeername(descriptor, remote.data(), &remote_size) != 0)
        return {};
    const auto family = local.data()->sa_family;
    if (family != AF_INET && family != AF_INET6) return {};
    local.resize(local_size);
    remote.resize(remote_size);
    return control_ends{plain_address(local.address()), plain_address(remote.address())};
}

} // namespace

// ---- While it waits for a session

associate_request::associate_request(link_thread& thread, tcp_socket control,
                                     const socks5::address& hint,
                                     std::shared_ptr<const udp_settings> settings)
    : thread_(thread), control_(std::move(control)), hint_(hint), settings_(std::move(settings)) {
    if (log::enabled(log_level::debug)) destination = "a UDP association";
}

void associate_request::begin(driver_ptr driver, request_sink& sink) {
    end_watch_.stop(control_);
    const auto ends = ends_of(control_);
    // Older servers know nothing of it, and that is known before they are asked.
    if (!ends || !driver->core().datagrams_lane().agreed()) return refuse(not_possible);
    const association_ptr made(new udp_association(std::move(driver), std::move(control_),
                                                   settings_, {ends->remote, hinted(hint_)}));
    if (const auto error = made->bind(ends->local)) {
        log::warning(log::kind{"UDP associations without a socket"},
                     "an application got no UDP association: {}", error.message());
        control_ = made->take_back();
        return refuse(no_socket);
    }
    made->begin(sink.stream_timeouts().keepalive);
}

void associate_request::refuse(const refusal& why) {
    end_watch_.drop();
    log::debug("request for a UDP association answered with REP {:#04x} ({})",
               static_cast<unsigned>(why.rep), socks5::to_text(why.rep));
    close_lingering(thread_.clock(), std::move(control_),
                    socks5::encode(socks5::make_reply(why.rep)));
}

void associate_request::watch(std::function<void()> gone) {
    end_watch_.start(control_, std::move(gone));
}

// ---- A hand-over

bool associate_request::save_connection(std::vector<std::uint8_t>& state,
                                        std::vector<int>& sockets) {
    if (!control_.is_open()) return false;
    field_saver fields;
    auto kind = movable_kind::associate;
    auto left = patience();
    auto asked = socks5::encode(socks5::request{socks5::command::udp_associate, hint_});
    fields(kind, left, asked);
    state = std::move(fields.bytes());
    sockets.push_back(control_.native_handle());
    return true;
}

void associate_request::on_connection_gone() {
    end_watch_.drop();
    let_go(control_);
}

request_ptr associate_request::load(link_thread& thread, tcp_socket& control, bytes_view state,
                                    std::shared_ptr<const udp_settings> settings) {
    std::uint32_t left = 0;
    std::vector<std::uint8_t> bytes;
    field_loader fields(state);
    fields(left, bytes);
    const auto asked = socks5::parse_request(bytes);
    if (!fields.done() || asked.status != socks5::parse_status::done) return nullptr;
    request_ptr made(
        new associate_request(thread, std::move(control), asked.value.dst, std::move(settings)));
    made->set_patience(left);
    return made;
}

template <class Fields>
void udp_association::each_field(Fields& fields) {
    const auto now = std::chrono::steady_clock::now();
    auto idle_ms = static_cast<std::uint32_t>((now - moved_) / std::chrono::milliseconds(1));
    fields(idle_ms, replied_, reply_, up_, down_, refused_, too_old_);
    gate_.each_field(fields, now);
    moved_ = now - std::chrono::milliseconds(idle_ms);
}

void udp_association::save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) {
    if (!socket_.is_open()) return;
    field_saver fields;
    auto kind = stream_kind::associate;
    fields(kind);
    each_field(fields);
    state = std::move(fields.bytes());
    sockets.push_back(control_.native_handle());
    sockets.push_back(socket_.descriptor());
}

void udp_association::on_handed_over() {
    const auto self = std::move(kept_);
    stream_ = nullptr;
    idle_.cancel();
    socket_.let_go();
    muxsocks::let_go(control_);
}

bool udp_association::resume(const driver_ptr& driver, stream& s, bytes_view state,
                             descriptor_list& sockets, std::shared_ptr<const udp_settings> settings,
                             const tcp_keepalive& keepalive) {
    const int control = sockets.take();
    const int datagrams = sockets.take();
    const auto give_back = [&] {
        sockets.add(control);
        sockets.add(datagrams);
        return false;
    };
    if (control < 0 || datagrams < 0) return give_back();
    tcp_socket own(driver->thread().context().get_executor(), asio::ip::tcp::v4(), control);
    const auto ends = ends_of(own);
    const association_ptr made(new udp_association(driver, std::move(own), std::move(settings),
                                                   {ends ? ends->remote : ip::address(), {}}));
    auto& me = *made;
    field_loader fields(state);
    me.each_field(fields);
    if (!ends || !fields.done() || !me.socket_.adopt(datagrams)) {
        boost::system::error_code ignored;
        (void)me.control_.release(ignored);
        return give_back();
    }
    me.stream_ = &s;
    s.context = static_cast<stream_owner*>(&me);
    me.kept_ = made;
    // Not before the thread runs: until then the sockets are another process's.
    asio::post(driver->thread().context(), [made, keepalive] {
        set_tcp_keepalive(made->control_.native_handle(), keepalive);
        made->go_on();
    });
    return true;
}

void udp_association::go_on() {
    if (!stream_) return;
    const association_ptr self(this);
    if (stream_->end) return on_stream_reset(stream_->end);
    idle_.expires_at(moved_ + settings_->idle);
    wait_control();
    wait_readable();
    on_stream_readable();
}

// ---- Its beginning

udp_association::udp_association(driver_ptr driver, tcp_socket control,
                                 std::shared_ptr<const udp_settings> settings, const udp_gate& gate)
    : driver_(std::move(driver)),
      control_(std::move(control)),
      settings_(std::move(settings)),
      gate_(gate),
      socket_(driver_->thread().context().get_executor()),
      idle_(driver_->thread().clock(), [this] { on_idle(); }),
      outgoing_(whole_front) {}

std::error_code udp_association::bind(const ip::address& local) {
    if (!settings_->ports) return socket_.bind({local, 0});
    const auto& range = *settings_->ports;
    const unsigned count = range.last - range.first + 1U;
    // Not the lowest first: one that was just given up may still be sent to.
    auto at = std::random_device()() % count;
    std::error_code error;
    for (unsigned tries = 0; tries < count; ++tries, at = (at + 1) % count) {
        error = socket_.bind({local, static_cast<std::uint16_t>(range.first + at)});
        if (error != std::errc::address_in_use) break;
    }
    return error;
}

socks5::address udp_association::bound() const {
    const auto local = socket_.local();
    for (const auto& each : settings_->advertise) {
        const auto address = ip::make_address(each);
        if (address.is_v4() == local.address().is_v4()) return socks_address(address, local.port());
    }
    return socks_address(local.address(), local.port());
}

void udp_association::begin(const tcp_keepalive& keepalive) {
    set_tcp_keepalive(control_.native_handle(), keepalive);
    const auto reply = socks5::encode(socks5::make_reply(socks5::reply_code::succeeded, bound()));
    // The first words behind the handshake: the socket takes them, or it is broken.
    (void)::send(control_.native_handle(), reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    kept_ = this;
    stream_ =
        &driver_->open(socks5::encode(socks5::request{socks5::command::udp_associate, {}}), *this);
    touch();
    idle_.expires_after(settings_->idle);
    wait_control();
    wait_readable();
}

bool udp_association::take_reply(bytes_view bytes) {
    reply_.insert(reply_.end(), bytes.begin(), bytes.end());
    const auto parsed = socks5::parse_reply(reply_);
    if (parsed.status == socks5::parse_status::need_more) return true;
    replied_ = true;
    if (parsed.status == socks5::parse_status::done &&
        parsed.value.code() == socks5::reply_code::succeeded) {
        driver_->core().on_connected(*stream_);
        reply_ = {};
        return true;
    }
    log::info(
        log::kind{"UDP associations that the server has refused"},
        "the server has refused a UDP association (REP {:#04x}): the application's connection "
        "for it is closed",
        static_cast<unsigned>(parsed.value.rep));
    return false;
}

// ---- Datagrams

void udp_association::wait_readable() {
    if (waiting_ || !socket_.is_open()) return;
    waiting_ = true;
    socket_.async_wait([self = association_ptr(this)](const boost::system::error_code& error) {
        self->waiting_ = false;
        if (error || !self->stream_) return;
        self->driver_->core().datagrams_lane().on_readable(*self->stream_);
    });
}

stream_owner::datagram_result udp_association::read_datagram(bytes_span place) {
    if (!socket_.is_open()) return {};
    std::array<std::uint8_t, socks5::udp_header::front_size> front{};
    const auto now = std::chrono::steady_clock::now();
    for (int looks = 0; looks < datagram_looks_max; ++looks) {
        // ATYP comes to where the frame's address belongs.
        const auto got = socket_.receive(front, place, settings_->max_delay);
        if (got.what == datagram_socket::outcome::none) {
            wait_readable();
            return {};
        }
        if (got.what != datagram_socket::outcome::taken) {
            ++too_old_;
            continue;
        }
        const bool whole = got.bytes > front.size() &&
                           std::all_of(front.begin(), front.end(), [](auto b) { return b == 0; });
        const auto address = whole ? socks5::parse_address(place.first(got.bytes - front.size()))
                                   : socks5::parse_result<socks5::address>{};
        if (address.status != socks5::parse_status::done || address.value.port == 0 ||
            !gate_.admit(got.from, now)) {
            ++refused_;
            continue;
        }
        ++up_;
        moved_ = now;
        return {got.bytes - front.size(), true};
    }
    return {0, true};
}

bool udp_association::on_datagram(bytes_view bytes) {
    if (!socket_.is_open() || !gate_.peer()) return false;
    const auto from = socks5::parse_address(bytes);
    if (from.status != socks5::parse_status::done ||
        from.value.type == socks5::address::kind::domain)
        return false;
    if (outgoing_.full()) send_outgoing();
    return outgoing_.add(bytes, *gate_.peer());
}

void udp_association::on_datagrams_over() {
    send_outgoing();
    outgoing_.end();
}

void udp_association::send_outgoing() {
    if (outgoing_.empty() || !socket_.is_open()) return;
    touch();
    outgoing_.send(socket_, [this](const auto& one) { down_ += one.sent; });
}

// ---- Ends

void udp_association::wait_control() {
    control_.async_wait(tcp_socket::wait_read,
                        [self = association_ptr(this)](const boost::system::error_code& error) {
                            if (!error && self->control_.is_open()) self->on_control();
                        });
}

void udp_association::on_control() {
    std::array<std::uint8_t, 4096> unread;
    const auto size = ::recv(control_.native_handle(), unread.data(), unread.size(), MSG_DONTWAIT);
    if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR))) return wait_control();
    end("its application has closed its connection");
}

void udp_association::on_stream_readable() {
    if (!stream_) return;
    const association_ptr self(this);
    bool goes_on = true;
    bytes_view view;
    while (driver_->core().peek(*stream_, {&view, 1}) > 0) {
        const auto size = view.size();
        if (!replied_ && goes_on) goes_on = take_reply(view);
        driver_->consume(*stream_, size);
    }
    if (!goes_on || stream_->at_end()) end("the server has ended it");
    if (stream_ && stream_->at_end()) let_go();
}

void udp_association::on_stream_reset(std::error_code why) {
    const association_ptr self(this);
    end(why ? "its stream was reset" : "its stream has ended");
    let_go();
}

void udp_association::on_idle() {
    const auto until = moved_ + settings_->idle;
    if (until > std::chrono::steady_clock::now()) return idle_.expires_at(until);
    asio::post(driver_->thread().context(),
               [self = association_ptr(this)] { self->end("it was idle (timeouts.udp_idle)"); });
}

void udp_association::end(const char* why) {
    if (!socket_.is_open()) return;
    log::debug("UDP association ended, {}: {} datagrams up, {} down, {} refused, {} too old, {} "
               "without room in the kernel",
               why, up_, down_, refused_, too_old_, socket_.dropped_by_kernel());
    socket_.close();
    idle_.cancel();
    boost::system::error_code ignored;
    control_.cancel(ignored);
    close_lingering(driver_->thread().clock(), std::move(control_), {});
    if (!stream_) return;
    // The server's answer to FIN is what lets go of a stream that it knows of.
    if (!stream_->opened()) return let_go();
    driver_->core().finish(*stream_);
}

void udp_association::let_go() {
    if (!stream_) return;
    const auto self = std::move(kept_);
    driver_->core().release(*std::exchange(stream_, nullptr));
}

} // namespace muxsocks::client
