#include "client/http_answers.hpp"

#include "http/answer.hpp"

namespace muxsocks::client {
namespace {

struct meaning {
    unsigned status;
    std::string_view error; ///< RFC 9209, section 2.3.
};

meaning meaning_of(const refusal& why) {
    using socks5::reply_code;
    if (why.passes) return {503, "destination_unavailable"};
    switch (why.rep) {
    case reply_code::not_allowed:
        return {403, "destination_ip_prohibited"};
    case reply_code::network_unreachable:
        return {502, "destination_ip_unroutable"};
    case reply_code::host_unreachable:
    case reply_code::ttl_expired:
        return {504, "connection_timeout"};
    case reply_code::connection_refused:
        return {502, "connection_refused"};
    case reply_code::command_not_supported:
    case reply_code::address_type_not_supported:
        return {502, "proxy_configuration_error"};
    default:
        return {502, "proxy_internal_error"};
    }
}

std::string answer_with(unsigned status, std::string_view error, std::string_view text,
                        std::string_view fields = {}) {
    std::string all = "Proxy-Status: muxsocks; error=";
    all += error;
    all += "\r\n";
    all += fields;
    std::string body(text);
    body += '\n';
    return http::write({.status = status, .body = body, .fields = all});
}

/// To CONNECT.
class http_language final : public answer_language {
    kind which() const override { return kind::http; }
    std::vector<std::uint8_t> granted(const socks5::address&) const override {
        // Without any field: there are clients that take nothing else for a success.
        constexpr std::string_view text = "HTTP/1.1 200 Connection established\r\n\r\n";
        return {text.begin(), text.end()};
    }
    std::vector<std::uint8_t> refused(const refusal& why) const override {
        const auto text = http_answer(why);
        return {text.begin(), text.end()};
    }
};

} // namespace

std::string http_answer(const refusal& why) {
    const auto [status, error] = meaning_of(why);
    const auto rep = make_error_code(why.rep);
    return answer_with(status, error, why.text.empty() ? rep.message() : std::string(why.text),
                       status == 503 ? "Retry-After: 2\r\n" : "");
}

std::string http_answer(const http::fault& why) {
    return answer_with(why.status,
                       why.status >= 502 && why.status != 505 ? "http_protocol_error"
                                                              : "http_request_error",
                       why.text);
}

std::string http_login_answer(bool close) {
    return http::write(
        {.status = 407,
         .body = "This proxy asks for a user name and a password: enter them in the application's "
                 "proxy settings.\n",
         .fields = "Proxy-Authenticate: Basic realm=\"muxsocks\", charset=\"UTF-8\"\r\n",
         .close = close});
}

const answer_language& http_answers() {
    static const http_language language;
    return language;
}

} // namespace muxsocks::client
