#include "socks5/message.hpp"

#include "socks5/error.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace muxsocks::socks5 {

namespace {

constexpr std::uint8_t socks_version = 0x05;
constexpr std::uint8_t password_version = 0x01;

template <typename T>
void fail(parse_result<T>& result, std::error_code error) {
    result.status = parse_status::failed;
    result.error = error;
}

template <typename T>
void finish(parse_result<T>& result, std::size_t used) {
    result.status = parse_status::done;
    result.used = used;
}

std::string_view text_view(std::span<const std::uint8_t> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Whether the bytes begin with an HTTP method, or are the beginning of one.
bool looks_like_http(std::string_view text) {
    constexpr std::array<std::string_view, 10> starts{"GET ",   "POST ",     "CONNECT ", "HEAD ",
                                                      "PUT ",   "OPTIONS ",  "DELETE ",  "PATCH ",
                                                      "TRACE ", "PRI * HTTP"};
    return std::any_of(starts.begin(), starts.end(), [text](std::string_view start) {
        const auto common = std::min(start.size(), text.size());
        return start.substr(0, common) == text.substr(0, common);
    });
}

/// What speaks here, if not SOCKS5. Named at the first byte: nothing that follows makes it right.
errc wrong_protocol(std::span<const std::uint8_t> bytes) {
    if (bytes[0] == 0x04) return errc::socks4_request;
    if (bytes[0] == 0x16) return errc::tls_client_hello;
    if (looks_like_http(text_view(bytes))) return errc::http_request;
    return errc::not_socks5;
}

} // namespace

bool greeting::offers(auth_method method) const {
    return std::find(methods.begin(), methods.end(), static_cast<std::uint8_t>(method)) !=
           methods.end();
}

parse_result<greeting> parse_greeting(std::span<const std::uint8_t> bytes) {
    parse_result<greeting> result;
    if (bytes.empty()) return result;
    if (bytes[0] != socks_version) {
        fail(result, wrong_protocol(bytes));
        return result;
    }
    if (bytes.size() < 2) return result;
    const std::size_t nmethods = bytes[1];
    if (bytes.size() < 2 + nmethods) return result;
    result.value.methods = bytes.subspan(2, nmethods);
    finish(result, 2 + nmethods);
    return result;
}

parse_result<method_selection> parse_method_selection(std::span<const std::uint8_t> bytes) {
    parse_result<method_selection> result;
    if (bytes.empty()) return result;
    if (bytes[0] != socks_version) {
        fail(result, errc::reply_version);
        return result;
    }
    if (bytes.size() < 2) return result;
    result.value.method = static_cast<auth_method>(bytes[1]);
    finish(result, 2);
    return result;
}

void append(std::vector<std::uint8_t>& out, const greeting& message) {
    assert(message.methods.size() <= 255);
    const auto methods = message.methods.first(std::min<std::size_t>(message.methods.size(), 255));
    out.push_back(socks_version);
    out.push_back(static_cast<std::uint8_t>(methods.size()));
    out.insert(out.end(), methods.begin(), methods.end());
}

void append(std::vector<std::uint8_t>& out, const method_selection& message) {
    out.push_back(socks_version);
    out.push_back(static_cast<std::uint8_t>(message.method));
}

parse_result<password_request> parse_password_request(std::span<const std::uint8_t> bytes) {
    parse_result<password_request> result;
    if (bytes.empty()) return result;
    if (bytes[0] != password_version) {
        fail(result, errc::password_version);
        return result;
    }
    if (bytes.size() < 2) return result;
    const std::size_t ulen = bytes[1];
    if (bytes.size() < 2 + ulen + 1) return result;
    const std::size_t plen = bytes[2 + ulen];
    if (bytes.size() < 2 + ulen + 1 + plen) return result;
    result.value.uname = text_view(bytes.subspan(2, ulen));
    result.value.passwd = text_view(bytes.subspan(2 + ulen + 1, plen));
    finish(result, 2 + ulen + 1 + plen);
    return result;
}

parse_result<password_status> parse_password_status(std::span<const std::uint8_t> bytes) {
    parse_result<password_status> result;
    if (bytes.empty()) return result;
    if (bytes[0] != password_version) {
        fail(result, errc::password_version);
        return result;
    }
    if (bytes.size() < 2) return result;
    result.value.status = bytes[1];
    finish(result, 2);
    return result;
}

namespace {

void append_short_text(std::vector<std::uint8_t>& out, std::string_view text) {
    assert(text.size() <= 255);
    text = text.substr(0, 255);
    out.push_back(static_cast<std::uint8_t>(text.size()));
    out.insert(out.end(), text.begin(), text.end());
}

} // namespace

void append(std::vector<std::uint8_t>& out, const password_request& message) {
    out.push_back(password_version);
    append_short_text(out, message.uname);
    append_short_text(out, message.passwd);
}

void append(std::vector<std::uint8_t>& out, const password_status& message) {
    out.push_back(password_version);
    out.push_back(message.status);
}

namespace {

/// VER, the byte that requests and replies differ in, RSV, and the address: what both share.
/// Gives that byte as soon as it is there.
template <typename Message, typename Field>
void parse_head_and_address(std::span<const std::uint8_t> bytes, errc wrong_version,
                            parse_result<Message>& result, Field Message::*field,
                            address Message::*where) {
    if (bytes.empty()) return;
    if (bytes[0] != socks_version) return fail(result, wrong_version);
    if (bytes.size() < 2) return;
    result.value.*field = static_cast<Field>(bytes[1]);
    if (bytes.size() < 4) return;
    auto parsed = parse_address(bytes.subspan(3));
    if (parsed.status == parse_status::failed) return fail(result, parsed.error);
    if (parsed.status == parse_status::need_more) return;
    result.value.*where = std::move(parsed.value);
    finish(result, 3 + parsed.used);
}

} // namespace

parse_result<request> parse_request(std::span<const std::uint8_t> bytes) {
    parse_result<request> result;
    parse_head_and_address(bytes, errc::request_version, result, &request::cmd, &request::dst);
    return result;
}

parse_result<reply> parse_reply(std::span<const std::uint8_t> bytes) {
    parse_result<reply> result;
    parse_head_and_address(bytes, errc::reply_version, result, &reply::rep, &reply::bnd);
    return result;
}

void append(std::vector<std::uint8_t>& out, const request& message) {
    out.insert(out.end(), {socks_version, static_cast<std::uint8_t>(message.cmd), 0x00});
    append(out, message.dst);
}

void append(std::vector<std::uint8_t>& out, const reply& message) {
    out.insert(out.end(), {socks_version, message.rep, 0x00});
    append(out, message.bnd);
}

std::string to_string(command cmd) {
    switch (cmd) {
    case command::connect:
        return "CONNECT (0x01)";
    case command::bind:
        return "BIND (0x02)";
    case command::udp_associate:
        return "UDP ASSOCIATE (0x03)";
    case command::resolve:
        return "RESOLVE (0xf0)";
    case command::resolve_ptr:
        return "RESOLVE_PTR (0xf1)";
    }
    constexpr std::string_view digits = "0123456789abcdef";
    const auto value = static_cast<unsigned>(cmd);
    return std::string("command 0x") + digits[value >> 4U] + digits[value & 15U];
}

} // namespace muxsocks::socks5
