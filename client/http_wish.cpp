#include "client/http_wish.hpp"

#include "http/basic_credentials.hpp"
#include "http/capsules.hpp"

#include <boost/asio/ip/address.hpp>

namespace muxsocks::client {
namespace {

using wish_kind = http_wish::kind;

constexpr http::fault bad_authority{
    400, "The target is no host with a port, such as example.org:443 or [2001:db8::1]:443."};
constexpr http::fault bad_target{
    400, "The target is neither an absolute http:// address nor, with CONNECT, host and port."};
constexpr http::fault other_scheme{
    501, "Only http:// is forwarded; other schemes go through a tunnel (CONNECT)."};
constexpr http::fault bad_udp_request{
    400, "UDP (RFC 9298) is asked for by GET, HTTP/1.1, with Upgrade: connect-udp."};
constexpr http::fault bad_udp_target{400, "The path names no host with a port for UDP."};
constexpr http::fault body_of_connect{400, "CONNECT has no body."};

/// The address that goes to the server; names as they were written.
bool set_target(http_wish& wish, const std::string& host, std::uint16_t port, bool may_be_v6) {
    boost::system::error_code error;
    const auto ip = boost::asio::ip::make_address(host, error);
    if (!error && ip.is_v4()) {
        wish.target = socks5::address::from_ipv4(ip.to_v4().to_bytes(), port);
        return true;
    }
    if (!error) {
        wish.target = socks5::address::from_ipv6(ip.to_v6().to_bytes(), port);
        return may_be_v6;
    }
    if (socks5::check_domain(host)) return false;
    wish.target = socks5::address::from_domain(host, port);
    return true;
}

bool set_target(http_wish& wish) {
    const bool bracketed = wish.to.bracketed;
    const bool good = set_target(wish, std::string(wish.to.host), wish.to.port, bracketed);
    return good && bracketed == (wish.target.type == socks5::address::kind::ipv6);
}

http_wish refused(const http::fault& why) { return {.what = wish_kind::refused, .wrong = why}; }

http_wish tunnel(const http::request_head& request) {
    const auto to = http::parse_authority(request.target, 0);
    if (!to) return refused(bad_authority);
    if (request.body != http::framing::none) return refused(body_of_connect);
    http_wish wish{.what = wish_kind::tunnel, .to = *to};
    return set_target(wish) ? wish : refused(bad_authority);
}

http_wish forward(const http::request_head& request) {
    const auto target = http::parse_absolute(request.target);
    if (!target) return refused(bad_target);
    if (!http::same_word(target->scheme, "http")) return refused(other_scheme);
    const auto to = http::parse_authority(target->authority, 80);
    if (!to) return refused(bad_authority);
    http_wish wish{.what = wish_kind::forward, .to = *to, .rest = target->rest};
    return set_target(wish) ? wish : refused(bad_authority);
}

http_wish udp_tunnel_to(const http::request_head& request, const http::udp_target& to) {
    if (request.method != "GET" || request.minor < 1 || !request.upgrade ||
        !http::same_word(request.value("upgrade"), "connect-udp") ||
        request.body != http::framing::none)
        return refused(bad_udp_request);
    http_wish wish{.what = wish_kind::udp};
    return set_target(wish, to.host, to.port, true) ? wish : refused(bad_udp_target);
}

} // namespace

http_wish wish_of(const http::request_head& request, const socks5::credentials* users) {
    const auto udp = http::parse_udp_path(request.target);
    // Pages about the proxy are for browsers that are not set up yet, and tell no secret.
    if (!udp && request.method != "CONNECT" &&
        (request.target.front() == '/' || request.target == "*"))
        return {.what = wish_kind::own};
    if (users) {
        const auto given = request.value("proxy-authorization");
        const auto login = http::parse_basic(given);
        if (!login || !users->check(login->user, login->password))
            return {.what = wish_kind::log_in, .guessed = !given.empty()};
    }
    if (udp) return udp_tunnel_to(request, *udp);
    return request.method == "CONNECT" ? tunnel(request) : forward(request);
}

} // namespace muxsocks::client
