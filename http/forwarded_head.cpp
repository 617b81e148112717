#include "http/forwarded_head.hpp"

#include <algorithm>

namespace muxsocks::http {
namespace {

void append_line(std::string& text, std::string_view name, std::string_view value) {
    text += name;
    text += ": ";
    text += value;
    text += "\r\n";
}

/// Whether the field is for the next connection only, whatever Connection says. Content-Length and
/// Transfer-Encoding are the body's, which goes on as it is.
bool is_for_one_hop(std::string_view name) {
    constexpr std::array<std::string_view, 7> names{
        "connection", "proxy-connection", "keep-alive", "proxy-authorization", "proxy-authenticate",
        "te",         "upgrade"};
    return std::any_of(names.begin(), names.end(),
                       [name](std::string_view each) { return same_word(each, name); });
}

/// Whether Connection names it. Nobody may take away what says how long the body is, or for whom
/// the request is.
bool is_named(const head& of, std::string_view name) {
    if (same_word(name, "content-length") || same_word(name, "transfer-encoding") ||
        same_word(name, "host"))
        return false;
    return std::any_of(of.fields.begin(), of.fields.end(), [name](const field& each) {
        return (same_word(each.name, "connection") || same_word(each.name, "proxy-connection")) &&
               lists(each.value, name);
    });
}

void append_fields(std::string& text, const head& of, std::string_view without) {
    for (const auto& each : of.fields) {
        if (same_word(each.name, without)) continue;
        // An answer's to a login at the proxy itself does not come from a server.
        if (is_for_one_hop(each.name) || is_named(of, each.name)) continue;
        append_line(text, each.name, each.value);
    }
}

} // namespace

std::string forwarded(const request_head& request, const authority& to, std::string_view rest) {
    std::string text;
    text.reserve(request.target.size() + 64 * (request.fields.size() + 2));
    text += request.method;
    text += ' ';
    if (rest.empty() && request.method == "OPTIONS")
        text += '*';
    else if (rest.empty() || rest.front() == '?')
        text += '/';
    text += rest;
    text += request.minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
    append_line(text, "Host", to.text(80));
    append_fields(text, request, "host");
    const bool trailers = lists(request.value("te"), "trailers");
    if (trailers) append_line(text, "TE", "trailers");
    if (request.upgrade) {
        append_line(text, "Upgrade", request.value("upgrade"));
        append_line(text, "Connection", trailers ? "Upgrade, TE" : "Upgrade");
    } else if (trailers) {
        append_line(text, "Connection", "TE");
    } else if (request.minor == 0) {
        append_line(text, "Connection", "close");
    }
    text += "\r\n";
    return text;
}

std::string forwarded(const answer_head& answer, bool close, bool old) {
    std::string text(answer.status_line);
    text += "\r\n";
    append_fields(text, answer, {});
    if (answer.upgrade && (answer.status == 101 || answer.status == 426)) {
        append_line(text, "Upgrade", answer.value("upgrade"));
        append_line(text, "Connection",
                    close && answer.status != 101 ? "Upgrade, close" : "Upgrade");
    } else if (!answer.interim()) {
        if (close)
            append_line(text, "Connection", "close");
        else if (old || answer.minor == 0)
            append_line(text, "Connection", "keep-alive");
        // What HTTP/1.0's applications know proxies by.
        if (!close && old) append_line(text, "Proxy-Connection", "keep-alive");
    }
    text += "\r\n";
    return text;
}

} // namespace muxsocks::http
