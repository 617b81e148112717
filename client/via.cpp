#include "client/via.hpp"

#include "http/percent.hpp"
#include "protocol/link/dial/host_name.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/network.hpp"
#include "protocol/program/values.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>

namespace muxsocks::client {
namespace {

constexpr std::uint16_t http_proxy_port = 8080;
constexpr std::uint16_t socks_proxy_port = 1080;

/// Whether a word of no_proxy names the server: a name and all below it, an address, a network, or
/// everything; with a port, that one alone.
bool excludes(std::string_view word, const host_port& server) {
    if (word == "*") return true;
    const auto address = parse_numeric_host(server.host);
    if (const auto block = parse_network(word)) {
        if (!address) return false;
        return address->is_v4() ? block->contains(address->to_v4().to_bytes())
                                : block->contains(address->to_v6().to_bytes());
    }
    if (const auto with_port = parse_host_port(word)) {
        if (with_port->port != server.port) return false;
        return excludes(with_port->host, server);
    }
    if (word.starts_with('*')) word.remove_prefix(1);
    if (word.starts_with('.')) word.remove_prefix(1);
    if (word.empty() || address) return false;
    const auto host = canonical_host_name(server.host);
    const auto name = canonical_host_name(word);
    if (!host.ends_with(name)) return false;
    return host.size() == name.size() || host[host.size() - name.size() - 1] == '.';
}

std::optional<std::string> first_of(const environment_values& values,
                                    std::initializer_list<const char*> names, std::string& found) {
    for (const auto* name : names) {
        auto value = values(name);
        if (!value || value->empty()) continue;
        found = name;
        return value;
    }
    return {};
}

} // namespace

std::string to_string(const via_proxy& proxy) {
    return (proxy.speaks == via_proxy::kind::http ? "http://" : "socks5://") +
           to_string(proxy.address);
}

std::optional<via_proxy> parse_via(std::string_view text, std::string& hint) {
    via_proxy proxy;
    if (const auto end = text.find("://"); end != std::string_view::npos) {
        const auto scheme = text.substr(0, end);
        text.remove_prefix(end + 3);
        if (scheme == "socks5" || scheme == "socks5h") {
            proxy.speaks = via_proxy::kind::socks5;
        } else if (scheme == "https") {
            hint = "TLS to the proxy itself is not known here; most proxies take http:// as well";
            return {};
        } else if (scheme != "http") {
            return {};
        }
    }
    if (text.ends_with('/')) text.remove_suffix(1);
    if (const auto at = text.rfind('@'); at != std::string_view::npos) {
        const auto login = text.substr(0, at);
        const auto colon = login.find(':');
        const auto user = http::percent_decoded(login.substr(0, colon));
        const auto password = http::percent_decoded(
            colon == std::string_view::npos ? std::string_view() : login.substr(colon + 1));
        if (!user || !password || user->empty() || user->size() > 255 || password->size() > 255) {
            hint = "user and password have at most 255 bytes, and \"%\", \"@\", \":\" and \"/\" in "
                   "them are written as %25, %40, %3A and %2F";
            return {};
        }
        proxy.user = *user;
        proxy.password = *password;
        text.remove_prefix(at + 1);
    }
    const auto address = parse_host_port(
        text, proxy.speaks == via_proxy::kind::http ? http_proxy_port : socks_proxy_port);
    if (!address || address->host.empty() || address->port == 0) return {};
    proxy.address = *address;
    return proxy;
}

std::optional<via_proxy> via_of_environment(const host_port& server,
                                            const environment_values& values) {
    std::string name;
    if (const auto excluded = first_of(values, {"no_proxy", "NO_PROXY"}, name)) {
        std::string_view rest = *excluded;
        while (!rest.empty()) {
            auto word = rest.substr(0, rest.find_first_of(", "));
            rest.remove_prefix(std::min(rest.size(), word.size() + 1));
            if (!word.empty() && excludes(word, server)) return {};
        }
    }
    const auto value =
        first_of(values, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"}, name);
    if (!value) return {};
    std::string hint;
    auto proxy = parse_via(*value, hint);
    if (!proxy)
        throw config_error("$" + name +
                           " is no proxy that a link can go through, as "
                           "http://HOST:PORT or socks5://HOST:PORT" +
                           (hint.empty() ? "" : ": " + hint) +
                           "; \"via\" asks for it with \"env\".");
    return proxy;
}

} // namespace muxsocks::client
