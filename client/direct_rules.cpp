#include "client/direct_rules.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <span>

namespace muxsocks::client {
namespace {

using rule_kind = direct_rule::kind;

std::optional<std::uint16_t> parse_rule_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size() || port == 0) return {};
    return port;
}

std::optional<port_range> parse_rule_ports(std::string_view text) {
    const auto dash = text.find('-');
    const auto first = parse_rule_port(text.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_rule_port(text.substr(dash + 1));
    if (!first || !last || *first > *last) return {};
    return port_range{*first, *last};
}

/// The host, and the ports behind it; a lone IPv6 address has colons of its own.
std::pair<std::string_view, std::optional<std::string_view>> split_rule(std::string_view text) {
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return {{}, {}};
        const auto rest = text.substr(end + 1);
        const auto host = text.substr(1, end - 1);
        if (rest.empty()) return {host, {}};
        if (rest.front() != ':' || host.find(':') == std::string_view::npos) return {{}, {}};
        return {host, rest.substr(1)};
    }
    const auto colon = text.find(':');
    if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos)
        return {text, {}};
    return {text.substr(0, colon), text.substr(colon + 1)};
}

bool is_or_is_below(std::string_view host, std::string_view name) {
    if (!host.ends_with(name)) return false;
    return host.size() == name.size() || host[host.size() - name.size() - 1] == '.';
}

/// What a destination is to the rules: an address, whatever its spelling, or else a name.
struct judged {
    std::string name{};
    std::array<std::uint8_t, 16> ip{};
    std::size_t ip_bytes = 0;
};

judged judge(const socks5::address& to) {
    judged made;
    if (to.type != socks5::address::kind::domain) {
        made.ip = to.ip;
        made.ip_bytes = to.type == socks5::address::kind::ipv4 ? 4 : 16;
        return made;
    }
    const auto address = parse_numeric_host(to.domain);
    if (!address) {
        made.name = canonical_host_name(to.domain);
        return made;
    }
    const auto put = [&made](const auto& bytes) {
        std::copy(bytes.begin(), bytes.end(), made.ip.begin());
        made.ip_bytes = bytes.size();
    };
    if (address->is_v4())
        put(address->to_v4().to_bytes());
    else
        put(address->to_v6().to_bytes());
    return made;
}

bool names(const direct_rule& rule, const judged& to, std::uint16_t port) {
    if (rule.ports && (port < rule.ports->first || port > rule.ports->last)) return false;
    switch (rule.what) {
    case rule_kind::any:
        return true;
    case rule_kind::name:
        return to.ip_bytes == 0 && to.name == rule.name;
    case rule_kind::below:
        return to.ip_bytes == 0 && is_or_is_below(to.name, rule.name);
    case rule_kind::block:
        return to.ip_bytes != 0 && rule.block.contains(std::span(to.ip).first(to.ip_bytes));
    }
    return false;
}

/// Names have no characters that a script's string could not hold.
std::string script_text(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string v4_text(std::span<const std::uint8_t> bytes) {
    std::string made;
    for (const auto each : bytes.first(4))
        made += (made.empty() ? "" : ".") + std::to_string(each);
    return made;
}

std::string mask_text(std::uint8_t prefix) {
    std::array<std::uint8_t, 4> bytes{};
    for (unsigned bit = 0; bit < prefix; ++bit)
        bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | (0x80U >> (bit % 8)));
    return v4_text(bytes);
}

/// Empty where a script cannot tell.
std::string host_test(const direct_rule& rule) {
    switch (rule.what) {
    case rule_kind::any:
        return "true";
    case rule_kind::name:
        return "name == " + script_text(rule.name);
    case rule_kind::below:
        return "name == " + script_text(rule.name) + " || dnsDomainIs(name, " +
               script_text("." + rule.name) + ")";
    case rule_kind::block:
        break;
    }
    if (rule.block.is_v4)
        return "v4 && isInNet(name, " + script_text(v4_text(rule.block.address)) + ", " +
               script_text(mask_text(rule.block.prefix)) + ")";
    const auto text = to_string(rule.block);
    if (rule.block.prefix != 128) return {};
    return "name == " + script_text(text) + " || name == " + script_text("[" + text + "]");
}

std::string port_test(const port_range& ports) {
    return "port >= " + std::to_string(ports.first) + " && port <= " + std::to_string(ports.last);
}

} // namespace

std::optional<direct_rule> parse_direct_rule(std::string_view text) {
    const auto [host, ports] = split_rule(text);
    direct_rule rule;
    if (ports) {
        rule.ports = parse_rule_ports(*ports);
        if (!rule.ports) return {};
    }
    if (host == "*") return ports ? std::optional(rule) : std::nullopt;
    if (const auto block = parse_network(host)) {
        rule.what = rule_kind::block;
        rule.block = *block;
        return rule;
    }
    const bool below = host.starts_with("*.");
    const auto name = below ? host.substr(2) : host;
    if (!is_host_name(name)) return {};
    rule.what = below ? rule_kind::below : rule_kind::name;
    rule.name = canonical_host_name(name);
    return rule;
}

std::string to_string(const direct_rule& rule) {
    std::string text;
    switch (rule.what) {
    case rule_kind::any:
        text = "*";
        break;
    case rule_kind::name:
        text = rule.name;
        break;
    case rule_kind::below:
        text = "*." + rule.name;
        break;
    case rule_kind::block:
        text = to_string(rule.block);
        if (rule.ports && !rule.block.is_v4) text = "[" + text + "]";
        break;
    }
    if (!rule.ports) return text;
    text += ":" + std::to_string(rule.ports->first);
    if (rule.ports->last != rule.ports->first) text += "-" + std::to_string(rule.ports->last);
    return text;
}

value_kind<direct_rule> direct_rule_kind() {
    using nlohmann::json;
    return {"network, name or `*.name`, with or without ports",
            "a network, a name, or \"*.\" and a name, with or without ports, such as "
            "\"10.0.0.0/8\", \"*.lan\", \"host.example.org:22\" or \"*:22\"",
            [](const json& value, std::string& hint) -> std::optional<direct_rule> {
                const auto* const found = value.get_ptr<const std::string*>();
                if (found == nullptr) return {};
                auto rule = parse_direct_rule(*found);
                if (!rule) {
                    if (const auto meant = parse_network_loosely(*found))
                        hint = "the network of that address is \"" + to_string(*meant) + "\"";
                    else if (*found == "*")
                        hint = "everything would go around the server";
                }
                return rule;
            },
            [](const direct_rule& rule) { return json(to_string(rule)).dump(); }};
}

bool goes_direct(const std::vector<direct_rule>& rules, const socks5::address& to) {
    if (rules.empty()) return false;
    const auto what = judge(to);
    return std::any_of(rules.begin(), rules.end(),
                       [&](const direct_rule& rule) { return names(rule, what, to.port); });
}

std::string pac_statements(const std::vector<direct_rule>& rules) {
    std::string tests;
    for (const auto& rule : rules) {
        auto test = host_test(rule);
        if (test.empty()) continue;
        if (rule.ports) test = "(" + test + ") && " + port_test(*rule.ports);
        tests += (tests.empty() ? "        (" : " ||\n        (") + test + ")";
    }
    if (tests.empty()) return {};
    // What browsers write in lower case anyway, others may not; a final dot is nothing to a name.
    return "    var name = host.toLowerCase().replace(/\\.$/, \"\");\n"
           "    var v4 = /^[0-9]+(\\.[0-9]+){3}$/.test(name);\n"
           "    var named = "
           "/^[a-z]+:\\/\\/(?:[^\\/?#]*@)?(?:\\[[^\\]]*\\]|[^:\\/?#]*)(?::([0-9]+))?/i.exec(url);\n"
           "    var port = named && named[1] ? parseInt(named[1], 10) :\n"
           "        /^(https|wss):/i.test(url) ? 443 : /^ftp:/i.test(url) ? 21 : 80;\n"
           "    if (\n" +
           tests + ")\n        return \"DIRECT\";\n";
}

std::string no_proxy_words(const std::vector<direct_rule>& rules) {
    std::string words;
    for (const auto& rule : rules) {
        // A lone name stands for all below it there, and ports are known to few.
        if (rule.ports) continue;
        if (rule.what == rule_kind::below) words += ",." + rule.name;
        if (rule.what == rule_kind::block) words += "," + to_string(rule.block);
    }
    return words;
}

} // namespace muxsocks::client
