#include "protocol/program/value_kinds.hpp"

#include "protocol/link/tls/crypto.hpp"
#include "protocol/link/tls/tls_context.hpp"
#include "protocol/program/values.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace muxsocks::kinds {

namespace {

using nlohmann::json;

std::string json_text(const std::string& text) { return json(text).dump(); }

/// The text of a JSON string, null for any other value.
const std::string* text_of(const json& value) { return value.get_ptr<const std::string*>(); }

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool looks_like_bare_ipv6(const std::string& text) {
    return text.find('[') == std::string::npos && std::count(text.begin(), text.end(), ':') > 1;
}

void hint_at_address(const std::string& text, std::string& hint) {
    if (text.find("://") != std::string::npos) {
        hint = "it takes no scheme such as \"https://\"";
    } else if (looks_like_bare_ipv6(text)) {
        hint = "an IPv6 address stands in brackets, as in \"[2001:db8::1]:443\"";
    } else if (text.rfind("*:", 0) == 0) {
        hint = "all addresses are written as \"" + text.substr(1) + "\"";
    } else if (!text.empty() && text.find(':') == std::string::npos) {
        hint = "the port is missing";
    }
}

std::optional<listen_address> read_listen_text(const std::string& text, std::string& hint) {
    using kind = listen_address::kind;
    listen_address made;
    const auto named = [&](kind type, std::size_t prefix) {
        made.type = type;
        made.address.host = text.substr(prefix);
        if (made.address.host.empty()) hint = "the name is missing";
        return made.address.host.empty() ? std::nullopt : std::optional(made);
    };
    if (text.rfind("unix:@", 0) == 0) return named(kind::unix_abstract, 6);
    if (text.rfind("unix:/", 0) == 0) return named(kind::unix_path, 5);
    if (text.rfind("systemd:", 0) == 0) return named(kind::systemd, 8);
    if (text.rfind("unix:", 0) == 0) {
        hint = "a socket's path begins at the root, as in \"unix:/run/muxsocks.sock\"";
        return std::nullopt;
    }
    const std::optional<host_port> parsed = parse_host_port(text);
    if (!parsed) {
        hint_at_address(text, hint);
        return std::nullopt;
    }
    const bool is_ip = parsed->host.empty() || is_ip_address(parsed->host);
    if (!is_ip && parsed->host != "localhost") {
        hint = "no name but \"localhost\" can be listened on";
        return std::nullopt;
    }
    made.address = *parsed;
    return made;
}

/// Bits of accepted_protocols; 0 if the list is none.
std::uint8_t read_accepted(const json& value) {
    std::uint8_t bits = 0;
    if (!value.is_array()) return 0;
    for (const auto& each : value) {
        if (each == "socks5")
            bits |= accepted_protocols::socks5;
        else if (each == "socks4")
            bits |= accepted_protocols::socks4;
        else if (each == "http")
            bits |= accepted_protocols::http;
        else if (each == "redirect")
            bits |= accepted_protocols::redirect;
        else if (each == "tproxy")
            bits |= accepted_protocols::tproxy;
        else
            return 0;
    }
    const bool mixed = (bits & accepted_protocols::transparent) != 0 && (bits & (bits - 1)) != 0;
    return mixed ? 0 : bits;
}

/// "0660"; more than 0777 if it is none.
std::uint32_t read_mode(const json& value) {
    const std::string* const found = text_of(value);
    std::uint32_t mode = 0;
    if (found == nullptr || found->empty() || found->size() > 4) return 01000;
    for (const char digit : *found) {
        if (digit < '0' || digit > '7') return 01000;
        mode = mode * 8 + static_cast<std::uint32_t>(digit - '0');
    }
    return mode;
}

std::optional<listen_address> read_listen_object(const json& value, bool applications,
                                                 std::string& hint) {
    const auto address = value.find("address");
    const std::string* const text = address == value.end() ? nullptr : text_of(*address);
    if (text == nullptr) {
        hint = "its \"address\" is missing";
        return std::nullopt;
    }
    auto made = read_listen_text(*text, hint);
    if (!made) return made;
    for (const auto& [key, given] : value.items()) {
        if (key == "address") continue;
        const bool for_path = made->type == listen_address::kind::unix_path;
        if (key == "accept" && applications) {
            made->accept = read_accepted(given);
            if (made->accept == 0)
                hint = "\"accept\" is a list of \"socks5\", \"socks4\" and \"http\", or of "
                       "\"redirect\" or \"tproxy\" alone";
            else if ((made->accept & accepted_protocols::transparent) != 0 && made->is_unix())
                hint = "nothing is redirected to a unix-domain socket";
        } else if (key == "mode" && for_path) {
            made->mode = read_mode(given);
            if (made->mode > 0777) hint = "\"mode\" is octal, as in \"0660\"";
        } else if (key == "group" && for_path && text_of(given) != nullptr) {
            made->group = *text_of(given);
        } else {
            hint = "\"" + key + "\" does not belong there";
        }
        if (!hint.empty()) return std::nullopt;
    }
    return made;
}

std::optional<port_range> parse_ports(const std::string& text) {
    const std::size_t dash = text.find('-');
    const auto first = parse_host_port(":" + text.substr(0, dash));
    const auto last =
        dash == std::string::npos ? first : parse_host_port(":" + text.substr(dash + 1));
    if (!first || !last || first->port == 0 || last->port < first->port) return std::nullopt;
    return port_range{first->port, last->port};
}

} // namespace

value_kind<bool> boolean() {
    return {"true or false", "true or false",
            [](const json& value, std::string& hint) -> std::optional<bool> {
                if (value.is_boolean()) return value.get<bool>();
                if (value == "true" || value == "false") hint = "it stands without quotation marks";
                return std::nullopt;
            },
            [](const bool& value) { return std::string(value ? "true" : "false"); }};
}

value_kind<std::string> text(std::size_t min, std::size_t max, std::string type) {
    const std::string bounds = std::to_string(min) + " to " + std::to_string(max) + " bytes";
    return {std::move(type), "a text of " + bounds + " without control characters",
            [min, max](const json& value, std::string& /*hint*/) -> std::optional<std::string> {
                const std::string* found = text_of(value);
                if (found == nullptr || found->size() < min || found->size() > max ||
                    std::any_of(found->begin(), found->end(), is_control)) {
                    return std::nullopt;
                }
                return *found;
            },
            json_text};
}

value_kind<std::uint32_t> number(std::uint32_t min, std::uint32_t max) {
    const std::string bounds = std::to_string(min) + " to " + std::to_string(max);
    return {"number, " + bounds, "a whole number from " + bounds,
            [min, max](const json& value, std::string& hint) -> std::optional<std::uint32_t> {
                if (value.is_string()) hint = "it stands without quotation marks";
                if (!value.is_number_unsigned()) return std::nullopt;
                const auto found = value.get<std::uint64_t>();
                if (found < min || found > max) return std::nullopt;
                return static_cast<std::uint32_t>(found);
            },
            [](const std::uint32_t& value) { return std::to_string(value); }};
}

value_kind<std::chrono::milliseconds> duration(std::chrono::milliseconds min,
                                               std::chrono::milliseconds max, bool zero_is_off) {
    const std::string bounds = format_duration(min) + " to " + format_duration(max);
    const std::string zero = zero_is_off ? ", or \"0\" for off" : "";
    return {
        "duration, " + bounds + (zero_is_off ? ", or 0 (off)" : ""),
        "a duration from " + bounds + ", such as \"250ms\", \"15s\" or \"2m\"" + zero,
        [min, max, zero_is_off](const json& value,
                                std::string& hint) -> std::optional<std::chrono::milliseconds> {
            const std::string* found = text_of(value);
            if (value.is_number() && value != 0) hint = "the unit is missing";
            if (found == nullptr && value != 0) return std::nullopt;
            const auto parsed = parse_duration(found == nullptr ? "0" : *found);
            if (!parsed) return std::nullopt;
            if (parsed->count() == 0 && zero_is_off) return parsed;
            if (*parsed < min || *parsed > max) return std::nullopt;
            return parsed;
        },
        [](const std::chrono::milliseconds& value) { return json_text(format_duration(value)); }};
}

value_kind<std::uint64_t> size(std::uint64_t min, std::uint64_t max) {
    const std::string bounds = format_size(min) + " to " + format_size(max);
    return {"size, " + bounds,
            "a size from " + bounds + ", such as \"64KiB\", \"8MiB\" or a number of bytes",
            [min, max](const json& value, std::string& /*hint*/) -> std::optional<std::uint64_t> {
                std::optional<std::uint64_t> bytes;
                if (value.is_number_unsigned()) bytes = value.get<std::uint64_t>();
                if (const std::string* found = text_of(value)) bytes = parse_size(*found);
                if (!bytes || *bytes < min || *bytes > max) return std::nullopt;
                return bytes;
            },
            [](const std::uint64_t& value) { return json_text(format_size(value)); }};
}

value_kind<std::uint64_t> bit_rate(std::uint64_t min, std::uint64_t max) {
    const std::string bounds = format_bit_rate(min) + " to " + format_bit_rate(max);
    return {"rate, " + bounds,
            "a rate from " + bounds +
                ", such as \"500kbit\", \"20Mbit\" or a number of bits a "
                "second",
            [min, max](const json& value, std::string& hint) -> std::optional<std::uint64_t> {
                std::optional<std::uint64_t> bits;
                if (value.is_number_unsigned()) bits = value.get<std::uint64_t>();
                if (const std::string* found = text_of(value)) {
                    bits = parse_bit_rate(*found);
                    if (!bits && found->find_first_of("Bb") != std::string::npos)
                        hint = "its units are kbit, Mbit and Gbit (a second)";
                }
                if (!bits || *bits < min || *bits > max) return std::nullopt;
                return bits;
            },
            [](const std::uint64_t& value) { return json_text(format_bit_rate(value)); }};
}

value_kind<std::chrono::sys_seconds> point_in_time() {
    return {"time", "a time, such as \"2027-01-31T00:00:00Z\"",
            [](const json& value, std::string& hint) -> std::optional<std::chrono::sys_seconds> {
                const std::string* found = text_of(value);
                if (found == nullptr) return std::nullopt;
                const auto time = parse_time(*found);
                if (!time && parse_time(*found + "T00:00:00Z"))
                    hint = "a day has 24 hours: say when, as in \"" + *found + "T00:00:00Z\"";
                else if (!time && parse_time(*found + "Z"))
                    hint = "the offset from UTC is missing, as in \"" + *found + "Z\"";
                return time;
            },
            [](const std::chrono::sys_seconds& value) { return json_text(format_time(value)); }};
}

value_kind<host_port> remote_address() {
    return {"address", "an address with a port, such as \"example.org:443\"",
            [](const json& value, std::string& hint) -> std::optional<host_port> {
                const std::string* found = text_of(value);
                if (found == nullptr) return std::nullopt;
                const std::optional<host_port> parsed = parse_host_port(*found);
                if (!parsed) {
                    hint_at_address(*found, hint);
                } else if (parsed->host.empty()) {
                    hint = "the host is missing";
                } else if (parsed->port == 0) {
                    hint = "nobody can be reached at port 0";
                } else {
                    return parsed;
                }
                return std::nullopt;
            },
            [](const host_port& value) { return json_text(to_string(value)); }};
}

value_kind<host_port> remote_ip_address(std::uint16_t default_port) {
    return {"IP address, with a port other than " + std::to_string(default_port) + " if need be",
            "an IP address with or without a port, such as \"192.0.2.1\" or \"[2001:db8::1]:53\"",
            [default_port](const json& value, std::string& /*hint*/) -> std::optional<host_port> {
                const std::string* found = text_of(value);
                if (found == nullptr) return std::nullopt;
                const std::optional<host_port> parsed = parse_host_port(*found, default_port);
                if (!parsed || !is_ip_address(parsed->host) || parsed->port == 0) {
                    return std::nullopt;
                }
                return parsed;
            },
            [](const host_port& value) { return json_text(to_string(value)); }};
}

value_kind<port_range> ports() {
    return {"port or range of ports", "a port, such as 443, or a range, such as \"8000-8999\"",
            [](const json& value, std::string& /*hint*/) -> std::optional<port_range> {
                if (value.is_number_unsigned()) return parse_ports(value.dump());
                if (value.is_string()) return parse_ports(value.get<std::string>());
                return std::nullopt;
            },
            [](const port_range& value) {
                return "\"" + std::to_string(value.first) + "-" + std::to_string(value.last) + "\"";
            }};
}

value_kind<std::string> ip_address() {
    return {"IP address", "an IP address, such as \"192.0.2.1\" or \"2001:db8::1\"",
            [](const json& value, std::string& /*hint*/) -> std::optional<std::string> {
                const std::string* found = text_of(value);
                if (found == nullptr || !is_ip_address(*found)) return std::nullopt;
                return *found;
            },
            [](const std::string& value) { return json_text(value); }};
}

value_kind<listen_address> listening_address(bool applications) {
    return {"address, or object (above)",
            "an IP address with a port, such as \"127.0.0.1:1080\", \"[::1]:1080\" or "
            "\":1080\" (all addresses), or \"unix:/PATH\", \"unix:@NAME\", \"systemd:NAME\", or "
            "an object with such an \"address\"",
            [applications](const json& value, std::string& hint) -> std::optional<listen_address> {
                if (value.is_object()) return read_listen_object(value, applications, hint);
                const std::string* found = text_of(value);
                if (found == nullptr) return std::nullopt;
                return read_listen_text(*found, hint);
            },
            [](const listen_address& value) { return json_text(to_string(value)); }};
}

value_kind<network> ip_network() {
    return {"network", "an IP address or a network, such as \"10.0.0.0/8\" or \"2001:db8::1\"",
            [](const json& value, std::string& hint) -> std::optional<network> {
                const std::string* found = text_of(value);
                if (found == nullptr) return std::nullopt;
                std::optional<network> parsed = parse_network(*found);
                if (parsed) return parsed;
                if (const auto meant = parse_network_loosely(*found)) {
                    hint = "the network of that address is \"" + to_string(*meant) +
                           "\", the address alone \"" + found->substr(0, found->find('/')) + "\"";
                }
                return std::nullopt;
            },
            [](const network& value) { return json_text(to_string(value)); }};
}

value_kind<sha256_digest> digest() {
    return {"SHA-256", "a SHA-256 digest as 64 hexadecimal digits or 44 characters of base64",
            [](const json& value, std::string& hint) -> std::optional<sha256_digest> {
                const std::string* found = text_of(value);
                if (found == nullptr) return std::nullopt;
                std::optional<sha256_digest> parsed = parse_pin(*found);
                if (!parsed) hint = "it has " + std::to_string(found->size()) + " characters";
                return parsed;
            },
            [](const sha256_digest& value) { return json_text(to_hex(value)); }, true};
}

value_kind<log_level> level_of_log() {
    auto kind = choice<log_level>({"trace", "debug", "info", "warning", "error"});
    kind.read = [read = std::move(kind.read)](const json& value, std::string& hint) {
        if (value.is_string())
            if (const auto level = parse_log_level(value.get<std::string>())) return level;
        return read(value, hint);
    };
    return kind;
}

value_kind<std::size_t> one_of(std::vector<std::string> names) {
    std::string all;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const bool last = i + 1 == names.size();
        all += (i == 0 ? "" : last ? " or " : ", ") + json_text(names[i]);
    }
    return {all, all,
            [names](const json& value, std::string& hint) -> std::optional<std::size_t> {
                const std::string* found = text_of(value);
                if (found == nullptr) return std::nullopt;
                const auto match = std::find(names.begin(), names.end(), *found);
                if (match != names.end()) return static_cast<std::size_t>(match - names.begin());
                if (const auto near = nearest_word(*found, names)) {
                    hint = "did you mean \"" + *near + "\"?";
                }
                return std::nullopt;
            },
            [names](const std::size_t& value) { return json_text(names.at(value)); }};
}

} // namespace muxsocks::kinds
