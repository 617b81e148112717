#include "client/config.hpp"

#include "client/via_settings.hpp"
#include "http/authority.hpp"
#include "protocol/link/tls/wiped_frees.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/config_file.hpp"
#include "protocol/program/config_reader.hpp"
#include "protocol/program/local_sockets.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/settings_schema.hpp"
#include "protocol/program/share_link.hpp"
#include "protocol/program/values.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>

namespace muxsocks::client {

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t no_uid = 0xffff'ffff;

void bind_user(config_section& section, socks_user& user) {
    section.field("name", user.name, kinds::text(1, 255),
                  "The user's name. `username` is understood, too.",
                  {.required = true, .alias = "username"});
    std::optional<std::string> password;
    section.secret("password", password,
                   "The user's password, 1 to 255 bytes. This, `password_file` or `uid` is "
                   "required.");
    std::uint32_t uid = no_uid;
    section.field("uid", uid, kinds::number(0, no_uid - 1),
                  "The number of a user of this machine, who needs no password where the client is "
                  "reached by a unix-domain socket.",
                  {.default_text = "none"});
    if (uid != no_uid) user.uid = uid;
    if (!section.reading() || (!password && user.uid)) return;
    const std::string_view key = section.has("password_file") ? "password_file" : "password";
    if (!password) section.fail(key, "this key, \"password_file\" or \"uid\" is missing");
    if (password->size() > 255) section.fail(key, "a password has at most 255 bytes");
    user.password = *std::move(password);
}

void bind_users(config_section& root, std::vector<socks_user>& users) {
    root.sections("users", users, bind_user,
                  "Who may use the port (RFC 1929, or Basic in HTTP). Without it nobody has to log "
                  "in, which is refused beyond loopback.");
    for (std::size_t i = 0; i < users.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (users[i].name != users[j].name) continue;
            root.fail("users[" + std::to_string(i) + "].name", "this name stands there twice");
        }
    }
}

void bind_server_entry(config_section& section, server_entry& server) {
    section.field("address", server.address, kinds::remote_address(),
                  "Where this server listens, with its port.", {.required = true});
    section.field("priority", server.priority, kinds::number(0, 65'535),
                  "The lowest number is used first; higher ones only while all of those are down.");
    section.field("weight", server.weight, kinds::number(1, 65'535),
                  "The share of new links among servers of the same priority.");
    section.field("server_name", server.server_name, kinds::text(1, 253),
                  "Replaces `tls.server_name` for this server.",
                  {.default_text = "the general one"});
    bind_via(section, server.asked_via, "Replaces the general `via` for this server.",
             "the general one");
}

void bind_servers(config_section& root, std::vector<server_entry>& servers, via_choice& via) {
    host_port lone;
    root.field("server", lone, kinds::remote_address(),
               "The muxsocks-server, with its port. A name without a dot is also looked up "
               "under the search domains of /etc/resolv.conf; any other is complete.",
               {.default_text = "required, or `servers`"});
    root.sections("servers", servers, bind_server_entry,
                  "Several servers instead of one; excludes `server`.");
    bind_via(root, via,
             "A proxy through which links are dialled, by HTTP's CONNECT or SOCKS5: "
             "`http://host:port` or `socks5://user@host:port`. It looks the server's name up. "
             "`env`: what https_proxy or all_proxy names, unless no_proxy names the server.",
             "none");
    if (!root.has("server")) return;
    if (root.has("servers")) root.fail("server", "this key and \"servers\" exclude each other");
    servers.assign(1, server_entry{lone, 0, 1});
}

void bind_udp(config_section& root, udp_settings& udp) {
    root.section("udp", [&](config_section& section) {
        section.field("enabled", udp.enabled, kinds::boolean(),
                      "Whether applications may send and receive datagrams (SOCKS5's UDP "
                      "ASSOCIATE, HTTP's connect-udp), where the server allows it.");
        section.one_or_list("advertise", udp.advertise, kinds::ip_address(),
                            "Where applications are told to send datagrams to, one address of a "
                            "family: the published address of a container, for example.",
                            {.default_text = "the address that the application has connected to"});
        port_range ports;
        section.field("ports", ports, kinds::ports(),
                      "The ports that applications send datagrams to, one for each association.",
                      {.default_text = "any"});
        if (section.has("ports")) udp.ports = ports;
        section.field("max_delay", udp.max_delay, kinds::duration(10ms, 10s),
                      "A datagram that has waited for its turn for that long is dropped.");
    });
}

void bind_auth(config_section& root, auth_settings& auth) {
    root.section("auth", [&](config_section& section) {
        section.field("user", auth.user, kinds::text(1, 255), "The client's name at the server.",
                      {.default_text = "none"});
        std::optional<std::string> token;
        section.secret("token", token, "What proves it: the token that the server has for it.");
        if (!token) return;
        if (const auto fault = token_fault(*token)) {
            section.fail(section.has("token") ? "token" : "token_file", *fault);
        }
        auth.token_sha256 = token_digest(*token);
    });
}

void bind_tls(config_section& root, client_tls_settings& tls) {
    root.section("tls", [&](config_section& section) {
        section.field("enabled", tls.enabled, kinds::boolean(),
                      "Whether the link is encrypted (TLS 1.3).");
        section.readable_file("ca", tls.ca, "PEM file of the certificates to trust.", false,
                              {.default_text = "the system's, unless there are pins"});
        section.field("server_name", tls.server_name, kinds::text(1, 253),
                      "The name that the server's certificate must have, also sent as SNI.",
                      {.default_text = "the host of the server's address"});
        section.list("pin_sha256", tls.pin_sha256, kinds::digest(),
                     "SHA-256 of the server's public key (SubjectPublicKeyInfo), in base64 or "
                     "hexadecimal; one of the list must match. Alone it replaces chain, name and "
                     "dates of the certificate, together with `ca` both must hold.");
        section.readable_file("cert", tls.cert,
                              "PEM file of this client's own certificate, for a server that has "
                              "`tls.client_ca`.",
                              false, {.default_text = "none"});
        section.readable_file("key", tls.key, "PEM file of its key.", true,
                              {.default_text = "none"});
        section.field(
            "channel_binding", tls.channel_binding, kinds::boolean(),
            "Whether the token's proof is bound to this TLS connection. Set it to `false` "
            "on both sides where a load balancer ends TLS.");
        if (!section.reading() || tls.cert.empty() == tls.key.empty()) return;
        section.fail(tls.cert.empty() ? "key" : "cert", tls.cert.empty()
                                                            ? "\"cert\" is missing beside it"
                                                            : "\"key\" is missing beside it");
    });
}

void bind_config(config_section& root, config& config) {
    root.one_or_list("listen", config.listen, kinds::listening_address(true),
                     "Where applications connect, by SOCKS5, SOCKS4 or HTTP. Of the default and of "
                     "`localhost`, an address "
                     "family that the host lacks is skipped; what is listed by address must work. "
                     "`:1080` is all addresses.");
    root.field("open_listener", config.open_listener, kinds::boolean(),
               "Whether listening beyond loopback is allowed although `users` is empty: everyone "
               "who reaches the port may use it.");
    bind_users(root, config.users);
    root.section("pac", [&](config_section& section) {
        section.field("host", config.pac_host, kinds::text(1, 262),
                      "What `/proxy.pac` names as the proxy, with its port, where that is another "
                      "address than the one at which it was asked for (a published port of a "
                      "container).",
                      {.default_text = "the Host of the request"});
        if (section.reading() && !config.pac_host.empty() &&
            !http::parse_authority(config.pac_host, 1))
            section.fail("host", "expected a host, with or without a port, such as "
                                 "\"proxy.example.org:1080\"");
    });
    bind_servers(root, config.servers, config.via);
    root.field("sessions", config.sessions, kinds::number(1, 64),
               "Sessions at the same time, to each server in use, each with links of its own. A "
               "new stream goes to the one with the fewest.",
               {.former = "links"});
    root.field("link_max_age", config.link_max_age, kinds::duration(1s, 720h, true),
               "After that time a link takes no new streams and another one takes its place.");
    root.list("direct", config.direct, direct_rule_kind(),
              "Destinations that the client dials itself, without the server: networks, names, all "
              "below a name, and ports, as in `[\"10.0.0.0/8\", \"*.lan\", "
              "\"host.example.org:22\"]`. What the application has written decides, never a "
              "look-up, so that a name is under no network. Datagrams go to the server all the "
              "same. `/proxy.pac` and `muxsocks-client env` say so, too.");
    bind_udp(root, config.udp);
    bind_auth(root, config.auth);
    bind_tls(root, config.tls);
    bind_link(root, config.link, program_role::client);
    bind_resume(root, config.resume, program_role::client);
    bind_keepalive(root, config.keepalive, config.tcp_keepalive, program_role::client);
    bind_memory(root, config.memory);
    bind_timeouts(root, config.timeouts, program_role::client);
    root.field(
        "allow_v1", config.allow_v1, kinds::boolean(),
        "Whether the server may be a version 1 peer, which has no authentication and no flow "
        "control.");
    root.field("threads", config.threads, kinds::number(1, 256),
               "Threads to spread the sessions over, and no more than there are `sessions`.");
    bind_status(root, config.status);
    bind_log(root, config.log);
}

void apply(const command_line& line, config& config, std::vector<std::string>& warnings) {
    if (line.level) config.log.level = *line.level;
    if (!line.listen.empty()) config.listen = line.listen;
    if (line.server) config.servers.assign(1, server_entry{*line.server, 0, 1});
    if (line.user) config.auth.user = *line.user;
    if (line.token_file) {
        const std::string token = read_secret_file(*line.token_file, "--token-file");
        if (const auto fault = token_fault(token)) {
            throw config_error("--token-file: " + *fault + ".");
        }
        if (auto warning = world_readable_warning(*line.token_file)) {
            warnings.push_back(*std::move(warning));
        }
        config.auth.token_sha256 = token_digest(token);
    }
    if (line.ca) {
        require_readable(*line.ca, "--ca");
        config.tls.ca = *line.ca;
    }
    if (!line.pins.empty()) config.tls.pin_sha256 = line.pins;
}

/// Everything that needs the whole configuration. Each throws one sentence.
class checker {
  public:
    checker(const config& settings, std::string name, std::vector<std::string>& warnings)
        : config_(settings), name_(std::move(name)), warnings_(warnings) {}

    void run() const {
        if (config_.servers.empty()) {
            fail("server: this key is missing; it names the muxsocks-server, as in "
                 "\"example.org:443\"");
        }
        if (config_.listen.empty()) fail("listen: expected at least one address, found none");
        check_auth();
        check_listener();
        check_via();
        warn_of_plain_link();
        if (const auto fault = status_fault(config_.status)) fail(*fault);
    }

  private:
    [[noreturn]] void fail(const std::string& sentence) const {
        throw config_error(name_ + ": " + sentence + ".");
    }

    void check_auth() const {
        const bool has_token = config_.auth.token_sha256.has_value();
        if (has_token && config_.auth.user.empty()) {
            fail("auth.user: this key is missing beside the token");
        }
        if (!has_token && !config_.auth.user.empty()) {
            fail("auth.token: this key or \"token_file\" is missing beside the user");
        }
    }

    void check_listener() const {
        if (config_.open_listener) return;
        for (const auto& each : config_.listen) {
            if (each.is_transparent() && !config_.users.empty())
                fail("listen: by \"" + to_string(each) +
                     "\" nobody can log in, and there are \"users\"; set \"open_listener\" to true "
                     "if "
                     "those who are redirected there need no password");
            if (!config_.users.empty() || !reaches_others(each)) continue;
            fail(
                "listen: \"" + to_string(each) +
                "\" can be reached from other machines, and without \"users\" everyone there could "
                "use this proxy; add users, listen on 127.0.0.1, or set \"open_listener\" to true");
        }
    }

    /// A shell's variables may well name this very client.
    void check_via() const {
        for (const auto& server : config_.servers) {
            if (!server.via) continue;
            const auto& at = server.via->address;
            for (const auto& each : config_.listen) {
                if (each.type != listen_address::kind::ip || each.address.port != at.port) continue;
                if (each.address.host == at.host ||
                    (is_loopback(at.host) &&
                     (each.address.host.empty() || is_loopback(each.address.host))))
                    fail("via: " + to_string(at) + " is where this client itself listens");
            }
        }
    }

    static bool reaches_others(const listen_address& one) {
        if (one.is_unix()) return false;
        if (one.type == listen_address::kind::ip) return !is_loopback(one.address.host);
        const auto passed = passed_sockets(one.address.host);
        return one.address.port < passed.size() &&
               reaches_beyond_loopback(passed[one.address.port]);
    }

    void warn_of_plain_link() const {
        if (config_.tls.enabled) return;
        if (!config_.tls.ca.empty() || !config_.tls.pin_sha256.empty()) {
            warnings_.push_back("The server is not verified, whatever tls.ca and tls.pin_sha256 "
                                "say, because tls.enabled is false.");
        }
        for (const server_entry& server : config_.servers) {
            if (is_loopback(server.address.host)) continue;
            warnings_.push_back("The link to " + to_string(server.address) +
                                " is not encrypted, because tls.enabled is false.");
        }
    }

    const config& config_;
    std::string name_;
    std::vector<std::string>& warnings_;
};

/// The share link to run from and where it stands, if it is a link at all. A token on a command
/// line would show in ps, so a link comes from a file or the environment.
std::optional<std::pair<std::string, std::string>> link_of(const command_line& line) {
    if (line.link_file) {
        const auto where = config_origin::of_file(*line.link_file).name;
        return {{line.link_text ? *line.link_text : read_link_file(*line.link_file), where}};
    }
    const char* const variable = std::getenv("MUXSOCKS_LINK");
    if (variable == nullptr || !line.config_path.empty() || line.server) return {};
    return {{variable, "$MUXSOCKS_LINK"}};
}

loaded_config complete(loaded_config loaded, const std::string& name, const command_line& line) {
    apply(line, loaded.settings, loaded.warnings);
    expand_listen_addresses(loaded.settings.listen);
    complete_memory(loaded.settings.memory);
    choose_via(loaded.settings.servers, loaded.settings.via);
    loaded.settings.udp.idle = loaded.settings.timeouts.udp_idle;
    checker(loaded.settings, name, loaded.warnings).run();
    return loaded;
}

} // namespace

loaded_config parse_config(const std::string& text, const config_origin& origin,
                           const command_line& line) {
    loaded_config loaded;
    read_config(text, origin, loaded.warnings,
                [&](config_section& root) { bind_config(root, loaded.settings); });
    return complete(std::move(loaded), origin.name, line);
}

loaded_config load_config(const command_line& line) {
    const wiped_frees wiped; // Of a token its digest stays.
    if (const auto link = link_of(line)) {
        const auto& [text, where] = *link;
        return parse_config(client_config_text(parse_share_link(text, where)), {where, {}}, line);
    }
    const std::optional<std::filesystem::path> path = find_config(program_role::client, line);
    if (!path) return complete({}, "command line", line);
    return parse_config(read_config_file(*path), config_origin::of_file(*path), line);
}

std::vector<key_info> config_keys() {
    config defaults;
    return describe_config([&](config_section& root) { bind_config(root, defaults); });
}

} // namespace muxsocks::client
