#include "protocol/program/status_settings.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/config_reader.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/value_kinds.hpp"
#include "protocol/program/values.hpp"

#include <nlohmann/json.hpp>

#include <sys/un.h>

#include <cstdlib>

namespace muxsocks {
namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr std::string_view none = "none";

/// What fits into sockaddr_un, with the zero at its end.
constexpr std::size_t path_max = sizeof(::sockaddr_un::sun_path) - 1;

std::optional<status_address> parse(const std::string& text, std::string& hint) {
    if (text == none) return status_address{};
    if (text.starts_with(unix_prefix)) {
        status_address found{text.substr(unix_prefix.size()), {}};
        if (found.path.size() > path_max || !found.path.starts_with('/')) {
            hint = "the path of a socket begins with \"/\" and has 107 bytes at most";
            return std::nullopt;
        }
        return found;
    }
    auto address = parse_host_port(text);
    if (!address) return std::nullopt;
    if (address->host == "localhost") address->host = "127.0.0.1";
    if (!address->host.empty() && !is_ip_address(address->host)) {
        hint = "no name but \"localhost\" can be listened on";
        return std::nullopt;
    }
    return status_address{{}, *address};
}

value_kind<status_address> status_listen_address() {
    return {"`unix:PATH`, address or `none`",
            "a socket such as \"unix:/run/muxsocks/status.sock\", an address such as "
            "\"127.0.0.1:9180\", or \"none\"",
            [](const nlohmann::json& value, std::string& hint) -> std::optional<status_address> {
                const auto* const text = value.get_ptr<const std::string*>();
                return text == nullptr ? std::nullopt : parse(*text, hint);
            },
            [](const status_address& value) { return nlohmann::json(to_string(value)).dump(); }};
}

std::optional<std::string> in_folder_of(const char* variable, program_role role) {
    const char* const folder = std::getenv(variable);
    if (folder == nullptr || *folder != '/') return std::nullopt;
    // systemd names several with colons between them.
    const std::string_view all = folder;
    auto path =
        std::string(all.substr(0, all.find(':'))) + "/" + std::string(program_name(role)) + ".sock";
    if (path.size() > path_max) return std::nullopt;
    return path;
}

} // namespace

std::string to_string(const status_address& address) {
    if (address.tcp) return to_string(*address.tcp);
    return address.path.empty() ? std::string(none) : std::string(unix_prefix) + address.path;
}

void bind_status(config_section& root, status_settings& status) {
    root.section("status", [&](config_section& section) {
        std::vector<status_address> listen;
        section.one_or_list("listen", listen, status_listen_address(),
                            "Where metrics and status are served: a unix socket, for this "
                            "program's user alone, an address, or `none`.",
                            {.default_text = "a unix socket in `$RUNTIME_DIRECTORY`, else in "
                                             "`$XDG_RUNTIME_DIR`, else none"});
        if (section.has("listen")) {
            std::erase(listen, status_address{});
            status.listen = std::move(listen);
        }
        section.readable_file("token_file", status.token_file,
                              "A file with the token that readers show over TCP (`Authorization: "
                              "Bearer`, or as the password of Basic). Needed where `status.listen` "
                              "is beyond loopback.",
                              true, {.default_text = "none"});
        section.list("names", status.names, kinds::text(1, 253, "host name"),
                     "Names by which the listener may be asked for over TCP (`Host`), besides "
                     "addresses and `localhost`.");
        if (!section.reading() || status.token_file.empty()) return;
        const auto token = read_secret_file(status.token_file, "status.token_file");
        if (const auto fault = token_fault(token)) section.fail("token_file", *fault);
        status.token = token_digest(token);
    });
}

std::optional<std::string> status_fault(const status_settings& status) {
    if (status.token || !status.listen) return std::nullopt;
    for (const auto& each : *status.listen)
        if (each.tcp && !is_loopback(each.tcp->host))
            return "status.listen: \"" + to_string(each) +
                   "\" is beyond loopback, where everyone could read what this program does; add "
                   "\"token_file\" (status.token_file), or listen on a unix socket or on "
                   "127.0.0.1";
    return std::nullopt;
}

std::optional<std::string> default_status_socket(program_role role) {
    if (auto path = in_folder_of("RUNTIME_DIRECTORY", role)) return path;
    return in_folder_of("XDG_RUNTIME_DIR", role);
}

std::vector<status_address> status_addresses_to_ask(program_role role,
                                                    const status_settings& status) {
    if (status.listen) return *status.listen;
    std::vector<status_address> found;
    if (const auto path = default_status_socket(role)) found.push_back({*path, {}});
    const std::string name(program_name(role));
    found.push_back({"/run/" + name + "/" + name + ".sock", {}});
    return found;
}

} // namespace muxsocks
