#include "client/via_settings.hpp"

#include "protocol/program/config_reader.hpp"

#include <nlohmann/json.hpp>

#include <cstdlib>

namespace muxsocks::client {

namespace {

value_kind<via_choice> via_kind() {
    using nlohmann::json;
    value_kind<via_choice> kind{
        "proxy, `env` or `none`",
        "a proxy such as \"http://proxy.example.org:3128\" or \"socks5://user@127.0.0.1:1080\", "
        "\"env\" or \"none\"",
        [](const json& value, std::string& hint) -> std::optional<via_choice> {
            const auto* const found = value.get_ptr<const std::string*>();
            if (found == nullptr) return {};
            if (*found == "none") return via_choice{via_choice::kind::none, {}};
            if (*found == "env") return via_choice{via_choice::kind::environment, {}};
            const auto proxy = parse_via(*found, hint);
            if (!proxy) return {};
            return via_choice{via_choice::kind::proxy, *proxy};
        },
        [](const via_choice&) { return json("none").dump(); }};
    kind.hidden = true; // It may have a password.
    return kind;
}

} // namespace

void bind_via(config_section& section, via_choice& via, std::string_view help,
              const char* default_text) {
    section.field("via", via, via_kind(), help, {.default_text = default_text});
    std::optional<std::string> password;
    section.secret("via_password", password, "The password of the user in `via`.");
    if (!password || !section.reading()) return;
    const std::string_view key = section.has("via_password") ? "via_password" : "via_password_file";
    if (via.what != via_choice::kind::proxy || via.proxy.user.empty())
        section.fail(key, "\"via\" names no user, as in \"http://user@proxy.example.org:3128\"");
    if (password->size() > 255) section.fail(key, "a password has at most 255 bytes");
    via.proxy.password = *std::move(password);
}

void choose_via(std::vector<server_entry>& servers, const via_choice& general) {
    const environment_values values = [](const char* name) -> std::optional<std::string> {
        const char* const value = std::getenv(name);
        return value == nullptr ? std::nullopt : std::optional<std::string>(value);
    };
    for (auto& each : servers) {
        const auto& asked =
            each.asked_via.what == via_choice::kind::general ? general : each.asked_via;
        if (asked.what == via_choice::kind::proxy) each.via = asked.proxy;
        if (asked.what == via_choice::kind::environment)
            each.via = via_of_environment(each.address, values);
    }
}

} // namespace muxsocks::client
