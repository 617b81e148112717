#include "client/via_handshake.hpp"

#include "protocol/link/tls/crypto.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/values.hpp"
#include "socks5/message.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>

namespace muxsocks::client {
namespace {

class via_category_impl final : public std::error_category {
  public:
    const char* name() const noexcept override { return "muxsocks.via"; }
    std::string message(int value) const override {
        switch (static_cast<via_errc>(value)) {
        case via_errc::login_refused:
            return "the proxy on the way to the server does not take the user or the password";
        case via_errc::denied:
            return "the proxy on the way to the server does not allow it";
        case via_errc::unreachable:
            return "the proxy cannot connect to the server";
        case via_errc::no_proxy:
            return "what answers in the proxy's place is no proxy";
        case via_errc::closed:
            return "the proxy has closed the connection without an answer";
        case via_errc::timed_out:
            return "the proxy has not answered in time";
        }
        return "unknown error of a proxy";
    }
};

via_handshake::step fail(via_errc why, std::string what, std::string cure) {
    return {.failure = {why, std::move(what), std::move(cure)}};
}

socks5::address socks_target(const host_port& to) {
    boost::system::error_code error;
    const auto ip = boost::asio::ip::make_address(to.host, error);
    if (error) return socks5::address::from_domain(to.host, to.port);
    return ip.is_v4() ? socks5::address::from_ipv4(ip.to_v4().to_bytes(), to.port)
                      : socks5::address::from_ipv6(ip.to_v6().to_bytes(), to.port);
}

/// Those of all fields make one list (RFC 9110, section 5.3).
std::string challenges_of(const http::answer_head& head) {
    std::string all;
    for (const auto& each : head.fields)
        if (http::same_word(each.name, "proxy-authenticate"))
            all += (all.empty() ? "" : ", ") + std::string(each.value);
    return all;
}

/// Whether Basic is one of the challenges: their parameters stand in the same list, as NAME=VALUE
/// (RFC 9110, section 11.6.1).
bool offers_basic(std::string_view challenges) {
    constexpr std::string_view blanks = " \t";
    while (!challenges.empty()) {
        const auto begin = std::min(challenges.find_first_not_of(blanks), challenges.size());
        challenges.remove_prefix(begin);
        const auto word = challenges.substr(0, challenges.find_first_of(" \t=,"));
        const auto behind = challenges.find_first_not_of(blanks, word.size());
        const bool parameter = behind != challenges.npos && challenges[behind] == '=';
        if (!parameter && http::same_word(word, "basic")) return true;
        bool quoted = false;
        std::size_t end = 0;
        for (; end < challenges.size() && (quoted || challenges[end] != ','); ++end) {
            if (challenges[end] == '"') quoted = !quoted;
            if (quoted && challenges[end] == '\\') ++end;
        }
        challenges.remove_prefix(std::min(end + 1, challenges.size()));
    }
    return false;
}

} // namespace

const std::error_category& via_category() noexcept {
    static const via_category_impl instance;
    return instance;
}

via_handshake::via_handshake(const via_proxy& by, const host_port& to)
    : by_(by), to_(to), name_("the proxy " + to_string(by.address) + " (via)") {}

std::vector<std::uint8_t> via_handshake::begin() {
    if (by_.speaks == via_proxy::kind::socks5) {
        state_ = state::method;
        // Without a login none is offered: a proxy that wants one says so by refusing.
        if (by_.user.empty()) return {5, 1, 0};
        return {5, 2, 0, 2};
    }
    const auto target = to_string(to_);
    auto text = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
    if (!by_.user.empty()) {
        const auto login = by_.user + ":" + by_.password;
        text += "Proxy-Authorization: Basic " +
                to_base64({reinterpret_cast<const std::uint8_t*>(login.data()), login.size()}) +
                "\r\n";
    }
    text += "\r\n";
    return {text.begin(), text.end()};
}

via_handshake::step via_handshake::on_input(bytes_view input) {
    return state_ == state::answer ? on_http(input) : on_socks(input);
}

via_handshake::step via_handshake::on_http(bytes_view input) {
    const auto before = input_.size();
    input_.insert(input_.end(), input.begin(), input.end());
    const std::string_view text(reinterpret_cast<const char*>(input_.data()), input_.size());
    const auto size = end_.find(text);
    http::answer_head head;
    if (end_.fault() || (size > 0 && http::parse(text.substr(0, size), head, "CONNECT")))
        return no_proxy();
    if (size == 0) return {.used = input.size()};
    auto made = on_status(head);
    made.used = size - before;
    input_.clear();
    end_.restart();
    return made;
}

via_handshake::step via_handshake::on_status(const http::answer_head& head) const {
    if (head.interim()) return {};
    if (head.status >= 200 && head.status < 300) return {.done = true};
    const auto line = log::escape(std::string(head.status_line));
    if (head.status == 407) {
        const auto asked = challenges_of(head);
        if (asked.empty() || offers_basic(asked)) return login_refused();
        return fail(via_errc::login_refused,
                    name_ + " asks for a login by \"" + log::escape(asked) +
                        "\", and this client knows Basic only",
                    "put a local proxy that knows it in between, such as px or cntlm, and name "
                    "that one in \"via\"");
    }
    if (head.status == 403 || head.status == 405) return denied(line);
    if (head.status >= 502 && head.status <= 504) return unreachable(line);
    return fail(via_errc::denied, name_ + " answers \"" + line + "\" to CONNECT " + to_string(to_),
                "does it let CONNECT through? Its log says why not");
}

std::vector<std::uint8_t> via_handshake::socks_request() const {
    return socks5::encode(socks5::request{socks5::command::connect, socks_target(to_)});
}

via_handshake::step via_handshake::on_socks(bytes_view input) {
    const auto before = input_.size();
    input_.insert(input_.end(), input.begin(), input.end());
    // What a message has taken of this input, and what comes next.
    const auto next = [&](std::size_t taken, state to, std::vector<std::uint8_t> words) {
        state_ = to;
        input_.clear();
        return step{.used = taken - before, .to_send = std::move(words)};
    };
    const auto more = step{.used = input.size()};
    if (state_ == state::method) {
        const auto parsed = socks5::parse_method_selection(input_);
        if (parsed.status == socks5::parse_status::need_more) return more;
        if (parsed.status == socks5::parse_status::failed) return no_proxy();
        if (parsed.value.method == socks5::auth_method::none)
            return next(parsed.used, state::reply, socks_request());
        if (parsed.value.method == socks5::auth_method::password && !by_.user.empty())
            return next(parsed.used, state::login,
                        socks5::encode(socks5::password_request{by_.user, by_.password}));
        return login_refused();
    }
    if (state_ == state::login) {
        const auto parsed = socks5::parse_password_status(input_);
        if (parsed.status == socks5::parse_status::need_more) return more;
        if (parsed.status == socks5::parse_status::failed) return no_proxy();
        if (parsed.value.status != 0) return login_refused();
        return next(parsed.used, state::reply, socks_request());
    }
    const auto parsed = socks5::parse_reply(input_);
    if (parsed.status == socks5::parse_status::need_more) return more;
    if (parsed.status == socks5::parse_status::failed && parsed.value.rep == 0) return no_proxy();
    const auto code = parsed.value.code();
    if (code == socks5::reply_code::succeeded) return {.used = parsed.used - before, .done = true};
    const auto how =
        fmt::format("REP {:02x}, {}", static_cast<unsigned>(parsed.value.rep), to_text(code));
    return code == socks5::reply_code::not_allowed ? denied(how) : unreachable(how);
}

// ---- Failures

via_handshake::step via_handshake::no_proxy() const {
    return fail(via_errc::no_proxy,
                "what answers at " + to_string(by_.address) + " (via) is no " +
                    (by_.speaks == via_proxy::kind::http ? "HTTP" : "SOCKS5") + " proxy",
                "check scheme, address and port in \"via\"");
}

via_handshake::step via_handshake::login_refused() const {
    if (!by_.user.empty())
        return fail(via_errc::login_refused,
                    name_ + " does not take the user name and password of \"via\"", "correct them");
    const auto* const scheme = by_.speaks == via_proxy::kind::http ? "http" : "socks5";
    return fail(via_errc::login_refused, name_ + " asks for a user name and a password",
                "put the user into \"via\", as in \"" + std::string(scheme) + "://USER@" +
                    to_string(by_.address) + "\", and the password into \"via_password_file\"");
}

via_handshake::step via_handshake::denied(const std::string& how) const {
    return fail(via_errc::denied,
                name_ + " does not allow connections to " + to_string(to_) + " (" + how + ")",
                "ask who runs it, or let the server listen on a port that it allows, which is 443 "
                "in most cases");
}

via_handshake::step via_handshake::unreachable(const std::string& how) const {
    return fail(via_errc::unreachable,
                name_ + " cannot connect to " + to_string(to_) + " (" + how + ")",
                "is the server running, and its address right?");
}

dial_failure via_handshake::closed() const {
    return {via_errc::closed, name_ + " has closed the connection without an answer",
            "check scheme, address and port in \"via\"; its log may say more"};
}

dial_failure via_handshake::late(std::chrono::milliseconds waited) const {
    return {via_errc::timed_out, name_ + " has not answered within " + format_duration(waited),
            "can it reach " + to_string(to_) + "?"};
}

} // namespace muxsocks::client
