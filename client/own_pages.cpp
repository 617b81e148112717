#include "client/own_pages.hpp"

#include "client/http_answers.hpp"
#include "http/answer.hpp"
#include "http/authority.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <optional>

namespace muxsocks::client {
namespace {

constexpr http::fault not_here{
    400, "This is a proxy: requests to it name their target, as in GET http://example.org/."};
constexpr http::fault not_by_this_name{
    400, "This is a proxy, and not known by this name: use its address, localhost, or pac.host."};
constexpr http::fault not_from_there{403, "Other sites do not get to see this."};

constexpr std::string_view safe_fields = "Cache-Control: no-cache\r\n"
                                         "X-Content-Type-Options: nosniff\r\n"
                                         "X-Frame-Options: DENY\r\n"
                                         "Cross-Origin-Resource-Policy: same-origin\r\n"
                                         "Content-Security-Policy: default-src 'none'; "
                                         "style-src 'unsafe-inline'; frame-ancestors 'none'\r\n";

/// Names that lead to this port by somebody else's DNS are not its own.
bool is_own_name(const http::authority& host, const std::string& pac_host) {
    boost::system::error_code error;
    (void)boost::asio::ip::make_address(std::string(host.host), error);
    if (!error || http::same_word(host.host, "localhost")) return true;
    const auto listed = http::parse_authority(pac_host, 1);
    return listed && http::same_word(listed->host, host.host);
}

/// Browsers say so (Fetch Metadata); others do not send the fields at all. A link that somebody
/// follows is no harm.
bool comes_from_another_site(const http::request_head& request) {
    const auto site = request.value("sec-fetch-site");
    if (site.empty() || site == "same-origin" || site == "none") return false;
    return request.value("sec-fetch-mode") != "navigate" ||
           request.value("sec-fetch-dest") != "document";
}

std::string escaped(std::string_view text) {
    std::string made;
    for (const char c : text) {
        if (c == '<')
            made += "&lt;";
        else if (c == '&')
            made += "&amp;";
        else
            made += c;
    }
    return made;
}

std::string auto_config(const std::string& at, const std::string& direct, std::uint8_t accept) {
    std::string ways;
    const auto add = [&](std::uint8_t protocol, std::string_view word) {
        if ((accept & protocol) == 0) return;
        if (!ways.empty()) ways += "; ";
        ways += word;
        ways += ' ' + at;
    };
    // PROXY first: everyone knows it, names are looked up by the server, passwords work. And no
    // DIRECT behind them: what is meant for the proxy does not go around it while that is down.
    add(accepted_protocols::http, "PROXY");
    add(accepted_protocols::socks5, "SOCKS5");
    add(accepted_protocols::socks5, "SOCKS");
    return "function FindProxyForURL(url, host) {\n"
           "    if (isPlainHostName(host) || host == \"localhost\" ||\n"
           "        dnsDomainIs(host, \".localhost\") || dnsDomainIs(host, \".local\") ||\n"
           "        /^127\\.[0-9.]+$/.test(host) || host == \"::1\" || host == \"[::1]\")\n"
           "        return \"DIRECT\";\n" +
           direct + "    return \"" + ways + "\";\n}\n";
}

std::string page(const std::string& at, const page_facts& facts) {
    std::string links;
    if (facts.links) {
        links = "<h2>Links</h2>\n<ul>\n";
        for (const auto& each : facts.links())
            links += "<li>" + escaped(each) + "</li>\n";
        links += "</ul>\n";
    }
    const auto where = escaped(at);
    return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
           "<title>muxsocks</title>\n<style>body { font: 1em/1.5 sans-serif; max-width: 42em; "
           "margin: 2em auto; padding: 0 1em } code { background: #eee }</style></head><body>\n"
           "<h1>This is a proxy</h1>\n"
           "<p>Not a web site, but what programs on this machine reach others through.</p>\n" +
           links +
           "<h2>To use it</h2>\n<ul>\n"
           "<li>In a browser or a desktop's settings: automatic proxy configuration, with the "
           "address <code>http://" +
           where +
           "/proxy.pac</code></li>\n"
           "<li>Or by hand: HTTP proxy and HTTPS proxy <code>" +
           where +
           "</code>, or SOCKS v5 host at the same address</li>\n"
           "<li>In a shell: <code>eval \"$(muxsocks-client env)\"</code></li>\n"
           "<li>With curl: <code>curl -x socks5h://" +
           where + " https://example.org/</code></li>\n</ul>\n</body></html>\n";
}

} // namespace

std::string own_page(const http::request_head& request, const page_facts& facts,
                     std::uint8_t accept) {
    const auto host = http::parse_authority(request.value("host"), 80);
    if (!host || !is_own_name(*host, facts.pac_host)) return http_answer(not_by_this_name);
    if (comes_from_another_site(request)) return http_answer(not_from_there);
    const bool reads = request.method == "GET" || request.method == "HEAD";
    if (!reads || request.body != http::framing::none) return http_answer(not_here);
    std::string at = host->text(0);
    if (const auto listed = http::parse_authority(facts.pac_host, host->port)) at = listed->text(0);
    const auto path = request.target.substr(0, request.target.find('?'));
    std::string body;
    http::own_answer answer{.fields = safe_fields, .without_body = request.method == "HEAD"};
    if (path == "/proxy.pac" || path == "/wpad.dat") {
        body = auto_config(at, facts.direct, accept);
        answer.content_type = "application/x-ns-proxy-autoconfig";
    } else if (path == "/") {
        body = page(at, facts);
        answer.content_type = "text/html; charset=utf-8";
    } else {
        return http_answer(not_here);
    }
    answer.body = body;
    return http::write(answer);
}

} // namespace muxsocks::client
