#include "client/direct_dialer.hpp"

#include "client/config.hpp"
#include "protocol/link/dial/host_name.hpp"
#include "protocol/program/log.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

namespace muxsocks::client {
namespace {

constexpr refusal itself{socks5::reply_code::not_allowed, "This target is the proxy itself.",
                         false};

asio::ip::address literal_of(const socks5::address& to) {
    if (to.type == socks5::address::kind::ipv6) return asio::ip::address_v6(to.ip);
    return asio::ip::address_v4({to.ip[0], to.ip[1], to.ip[2], to.ip[3]});
}

std::string host_of(const socks5::address& to) {
    return to.type == socks5::address::kind::domain ? to.domain : literal_of(to).to_string();
}

socks5::reply_code direct_reply(std::error_code error) {
    if (error == connect_errc::ttl_expired) return socks5::reply_code::ttl_expired;
    return socks5::reply_code_from(error);
}

} // namespace

direct_dialer::direct_dialer(link_thread& thread, const dial_services& services,
                             request_sink& otherwise)
    : thread_(thread), services_(services), otherwise_(otherwise) {}

void direct_dialer::use(const config& settings) {
    rules_ = settings.direct;
    timeout_ = settings.timeouts.connect;
    listening_.clear();
    for (const auto& each : settings.listen)
        if (each.type == listen_address::kind::ip) listening_.push_back(each.address);
    for (auto& each : ends_)
        each.on_timeouts_changed();
}

void direct_dialer::submit(request_ptr request) {
    if (rules_.empty()) return otherwise_.submit(std::move(request));
    const auto to = request->target();
    if (!to || !goes_direct(rules_, *to)) return otherwise_.submit(std::move(request));
    if (draining_) return request->refuse(refusals::stopping);
    log::debug("request for {} goes direct", request->destination);
    const auto at = dials_.insert(dials_.end(), {std::move(request)});
    if (!at->request->outlives_half_close()) at->request->watch([this, at] { forget(at); });
    switch (at->request->asks_for()) {
    case pending_request::wish::connection:
        return connect(at, *to);
    case pending_request::wish::address:
        return look_up(at, *to);
    case pending_request::wish::name:
        return look_up_name(at, *to);
    }
}

void direct_dialer::connect(place at, const socks5::address& to) {
    connect_options options;
    options.timeout = timeout_;
    options.before_connect = [](int descriptor) {
        const int on = 1;
        (void)::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    };
    at->connecting = connect_to_host(services_, host_of(to), to.port, std::move(options),
                                     [this, at](std::error_code error, tcp_socket socket) {
                                         on_connected(at, error, std::move(socket));
                                     });
}

void direct_dialer::on_connected(place at, std::error_code error, tcp_socket socket) {
    const auto request = take(at);
    boost::system::error_code gone;
    // TCP connects a port to itself where nobody listens.
    if (!error && socket.local_endpoint(gone) == socket.remote_endpoint(gone))
        error = std::make_error_code(std::errc::connection_refused);
    if (error) return refuse(request, error);
    if (is_own(socket)) return request->refuse(itself);
    ++thread_.counters().direct_opened;
    request->begin_direct(std::move(socket), *this);
}

bool direct_dialer::is_own(const tcp_socket& socket) const {
    boost::system::error_code gone;
    const auto local = socket.local_endpoint(gone).address();
    const auto peer = socket.remote_endpoint(gone);
    return std::any_of(listening_.begin(), listening_.end(), [&](const host_port& each) {
        if (each.port != peer.port()) return false;
        const auto address = parse_address(each.host);
        return address && !address->is_unspecified() ? *address == peer.address()
                                                     : local == peer.address();
    });
}

void direct_dialer::look_up(place at, const socks5::address& to) {
    at->lookup = services_.names.resolve(
        host_of(to), [this, at](std::error_code error, std::span<const asio::ip::address> found,
                                bool last) { on_addresses(at, error, found, last); });
}

void direct_dialer::on_addresses(place at, std::error_code error,
                                 std::span<const asio::ip::address> found, bool last) {
    if (found.empty() && !last) return;
    if (!last) services_.names.cancel(at->lookup);
    const auto request = take(at);
    if (found.empty()) return refuse(request, error);
    const auto& one = found.front();
    request->tell(one.is_v4() ? socks5::address::from_ipv4(one.to_v4().to_bytes(), 0)
                              : socks5::address::from_ipv6(one.to_v6().to_bytes(), 0));
}

void direct_dialer::look_up_name(place at, const socks5::address& to) {
    if (to.type == socks5::address::kind::domain)
        return take(at)->refuse({socks5::reply_code::address_type_not_supported, {}});
    at->lookup = services_.names.resolve_name(
        literal_of(to), [this, at](std::error_code error, const std::string& name) {
            const auto request = take(at);
            if (error) return refuse(request, error);
            request->tell(socks5::address::from_domain(name, 0));
        });
}

void direct_dialer::refuse(const request_ptr& request, std::error_code error) {
    ++thread_.counters().direct_failed;
    const auto text = "The client cannot connect to it: " + error.message() + ".";
    request->refuse({direct_reply(error), text, false});
}

request_ptr direct_dialer::take(place at) {
    auto request = std::move(at->request);
    dials_.erase(at);
    return request;
}

/// Its application is gone.
void direct_dialer::forget(place at) {
    const auto connecting = at->connecting;
    const auto lookup = at->lookup;
    const auto request = take(at);
    if (connecting) connecting->cancel();
    if (lookup != 0) services_.names.cancel(lookup);
}

void direct_dialer::forget_dials() {
    while (!dials_.empty())
        forget(dials_.begin());
}

void direct_dialer::close() {
    draining_ = true;
    forget_dials();
    while (!ends_.empty()) {
        auto& each = ends_.front();
        ends_.pop_front();
        each.cut();
    }
}

} // namespace muxsocks::client
