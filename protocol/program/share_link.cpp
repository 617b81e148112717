#include "protocol/program/share_link.hpp"

#include "protocol/program/config_error.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/values.hpp"

#include <nlohmann/json.hpp>

#include <charconv>

namespace muxsocks {
namespace {

constexpr auto scheme = share_link_scheme;
constexpr std::string_view unreserved =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

std::string encode(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        if (unreserved.find(c) != std::string_view::npos) {
            out += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
    return out;
}

std::string decode(std::string_view text, const char* part) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned value = 0;
        const auto digits = text.substr(i + 1, 2);
        const auto end = digits.data() + digits.size();
        if (digits.size() != 2 || std::from_chars(digits.data(), end, value, 16).ptr != end)
            throw config_error(std::string("the share link's ") + part +
                               " has a % that is not followed by two hexadecimal digits");
        out += static_cast<char>(value);
        i += 2;
    }
    return out;
}

/// What stands before the first (or last) `mark`, which is taken out of `text` with it.
std::string_view cut(std::string_view& text, char mark, bool last = false) {
    const auto at = last ? text.rfind(mark) : text.find(mark);
    if (at == std::string_view::npos) return std::exchange(text, {});
    const auto head = text.substr(0, at);
    text.remove_prefix(at + 1);
    return head;
}

/// The first link in the text, which may be a saved message. A link ends with a blank, or where the
/// bracket or quotation mark right before it is closed.
std::string_view find_link(std::string_view text) {
    const auto begin = text.find(scheme);
    if (begin == std::string_view::npos) return {};
    auto link = text.substr(begin);
    link = link.substr(0, link.find_first_of(" \t\r\n\f\v\x1b"));
    constexpr std::string_view opening = "<([{\"'`";
    constexpr std::string_view closing = ">)]}\"'`";
    const auto which = begin == 0 ? std::string_view::npos : opening.find(text[begin - 1]);
    if (which != std::string_view::npos) return link.substr(0, link.rfind(closing[which]));
    // One that was opened further ahead: a link has none of these, but for an IPv6 address.
    while (!link.empty() && (closing.find(link.back()) != std::string_view::npos ||
                             link.back() == ',' || link.back() == ';')) {
        if (link.back() == ']' && link.find('[') != std::string_view::npos) break;
        link.remove_suffix(1);
    }
    return link;
}

host_port parse_server(std::string_view text) {
    host_port server;
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos || colon + 1 == text.size())
        throw config_error(
            "the share link has no port: expected muxsocks://user:token@host:port...");
    auto host = text.substr(0, colon);
    const auto port = text.substr(colon + 1);
    const auto end = port.data() + port.size();
    if (std::from_chars(port.data(), end, server.port).ptr != end || server.port == 0)
        throw config_error("the share link's port must be a number from 1 to 65535");
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    if (host.empty()) throw config_error("the share link has no host");
    server.host = host;
    return server;
}

host_port server_of(const std::string& address) {
    // A client.json without a valid address is none that a link could stand for.
    return parse_host_port(address).value();
}

} // namespace

std::string to_string(const share_link& link) {
    std::string out(scheme);
    out += encode(link.user) + ":" + encode(link.token) + "@" + to_string(link.server);
    char mark = '?';
    for (const auto& pin : link.pins) {
        out += mark + std::string("pin=") + encode(pin);
        mark = '&';
    }
    if (!link.name.empty()) out += "#" + encode(link.name);
    return out;
}

share_link parse_share_link(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n";
    if (text.find_first_not_of(blanks) == std::string_view::npos)
        throw config_error("the share link is empty");
    const auto first = find_link(text);
    if (first.empty())
        throw config_error("there is no share link of muxsocks: it must begin with muxsocks://");
    for (auto rest =
             text.substr(static_cast<std::size_t>(first.data() - text.data()) + first.size());
         !rest.empty();) {
        const auto next = find_link(rest);
        if (!next.empty() && next != first)
            throw config_error("there is more than one share link: leave only the one to use");
        rest = next.empty()
                   ? next
                   : rest.substr(static_cast<std::size_t>(next.data() - rest.data()) + next.size());
    }
    text = first.substr(scheme.size());
    share_link link;
    auto rest = text;
    auto before_name = cut(rest, '#');
    link.name = decode(rest, "name");
    auto query = before_name;
    const auto authority = cut(query, '?');
    auto server = authority;
    auto user = cut(server, '@', true);
    if (server.empty())
        throw config_error(
            "the share link has no \"@\": expected muxsocks://user:token@host:port...");
    link.user = decode(cut(user, ':'), "user");
    link.token = decode(user, "token");
    if (link.user.empty() || link.token.empty())
        throw config_error(
            "the share link needs a user and a token: muxsocks://user:token@host:port...");
    link.server = parse_server(server);
    while (!query.empty()) {
        auto value = cut(query, '&');
        const auto key = cut(value, '=');
        if (key == "pin")
            link.pins.push_back(decode(value, "pin"));
        else
            throw config_error(
                "the share link has a parameter that this version does not know: \"" +
                decode(key, "query") + "\"");
    }
    return link;
}

std::string read_link_file(const std::string& path) {
    return read_config_file(path, "share link file");
}

share_link parse_share_link(std::string_view text, const std::string& where) {
    try {
        return parse_share_link(text);
    } catch (const config_error& error) {
        throw config_error(where + ": " + error.what());
    }
}

std::string client_config_text(const share_link& link, const std::string& listen,
                               bool open_listener, const std::vector<host_port>& servers) {
    nlohmann::ordered_json out;
    if (!listen.empty()) out["listen"] = listen;
    if (open_listener) out["open_listener"] = true;
    if (servers.empty()) out["server"] = to_string(link.server);
    for (const auto& each : servers)
        out["servers"].push_back({{"address", to_string(each)}});
    out["auth"] = {{"user", link.user}, {"token", link.token}};
    if (!link.pins.empty()) out["tls"] = {{"pin_sha256", link.pins}};
    return out.dump(2) + "\n";
}

std::optional<client_of_link> read_client_config(const std::string& text) {
    const auto config = nlohmann::json::parse(text, nullptr, false, true);
    client_of_link found;
    try {
        if (config.contains("server")) found.servers.push_back(server_of(config.at("server")));
        for (const auto& each : config.value("servers", nlohmann::json::array()))
            found.servers.push_back(server_of(each.at("address")));
        found.link.user = config.at("auth").at("user");
        found.link.token = config.at("auth").at("token");
        const auto tls = config.value("tls", nlohmann::json::object());
        found.link.pins = tls.value("pin_sha256", std::vector<std::string>());
    } catch (const std::exception&) {
        return {};
    }
    if (found.servers.empty() || environment_reference(found.link.token)) return {};
    found.link.server = found.servers.front();
    return found;
}

} // namespace muxsocks
