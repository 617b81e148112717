#include "server/config.hpp"

#include "protocol/link/tls/wiped_frees.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/config_reader.hpp"
#include "protocol/program/resources.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/settings_schema.hpp"
#include "protocol/program/values.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>

namespace muxsocks::server {

namespace {

using namespace std::chrono_literals;

/// Above any counter that makes sense, and still far from overflow in arithmetic on it.
constexpr std::uint32_t rate_max = 100'000'000;

void bind_destination_keys(config_section& section, destination_settings& destinations) {
    section.list("deny", destinations.deny, kinds::ip_network(),
                 "Never connected to. Checked first, on the address that a name resolved to.");
    section.list("allow", destinations.allow, kinds::ip_network(),
                 "Connected to although not public; any range, loopback included.");
    section.field(
        "allow_private", destinations.allow_private, kinds::boolean(),
        "Whether private and loopback addresses and the server's own may be connected to. "
        "Link-local ones (cloud metadata) never are, but by `allow`.");
    section.list(
        "ports", destinations.ports, kinds::ports(),
        "The only ports that may be connected to. Empty: all but 25 (mail between servers, "
        "which open proxies are abused for).");
}

void bind_user(config_section& section, user& user) {
    section.field("name", user.name, kinds::text(1, 255),
                  "The user's name. `username` is understood, too.",
                  {.required = true, .alias = "username"});
    std::optional<std::string> token;
    section.secret("token", token,
                   "The user's token, at least 128 random bits. One of `token`, `token_file` and "
                   "`token_sha256` is required.");
    section.field("token_sha256", user.token_sha256, kinds::digest(),
                  "SHA-256 of the token, in hexadecimal or base64: the server needs no more.",
                  {.default_text = "none"});
    section.optional_section("destinations", user.destinations, bind_destination_keys, "object",
                             "Replaces `destinations` for this user; the same keys. The general "
                             "`deny` holds besides.",
                             {.default_text = "the general rules"});
    std::optional<user_limit_settings> own;
    section.optional_section("limits", own,
                             [](config_section& inner, user_limit_settings& limits) {
                                 limits = no_user_limits();
                                 bind_user_limits(inner, limits);
                             },
                             "object",
                             "Replaces values of `limits.user` for this user; the same keys.",
                             {.default_text = "`limits.user`"});
    user.limits = own.value_or(no_user_limits());
    const auto streams =
        section.former("max_streams", kinds::number(1, 1'000'000), "limits.streams");
    if (streams && user.limits.streams == 0) user.limits.streams = *streams;
    bind_user_terms(section, user.terms);
    if (!section.reading()) return;
    if (token.has_value() && section.has("token_sha256")) {
        section.fail("token_sha256", "this key and the token itself exclude each other");
    }
    if (!token.has_value() && !section.has("token_sha256")) {
        section.fail("token", "this key, \"token_file\" or \"token_sha256\" is missing");
    }
    const auto key = !token ? "token_sha256" : section.has("token") ? "token" : "token_file";
    if (token) {
        if (const auto fault = token_fault(*token)) section.fail(key, *fault);
        user.token_sha256 = token_digest(*token);
    }
    if (const auto fault = token_digest_fault(user.token_sha256)) section.fail(key, *fault);
}

void bind_users(config_section& root, std::vector<user>& users) {
    root.sections("users", users, bind_user, "Who may open a session, each with a token.");
    for (std::size_t i = 0; i < users.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (users[i].name != users[j].name) continue;
            root.fail("users[" + std::to_string(i) + "].name", "this name stands there twice");
        }
    }
}

void bind_tls(config_section& root, server_tls_settings& tls) {
    root.section("tls", [&](config_section& section) {
        section.field("enabled", tls.enabled, kinds::boolean(),
                      "Whether links are encrypted (TLS 1.3).");
        section.readable_file("cert", tls.cert, "PEM file of the certificate and its chain.", false,
                              {.default_text = "required with TLS"});
        section.readable_file("key", tls.key, "PEM file of its key.", true,
                              {.default_text = "required with TLS"});
        section.readable_file("client_ca", tls.client_ca,
                              "PEM file of authorities. Every client must then show a certificate "
                              "from one of them, and a token besides if there are `users`.",
                              false, {.default_text = "none"});
        section.field(
            "channel_binding", tls.channel_binding, kinds::boolean(),
            "Whether a token's proof is bound to its TLS connection. Set it to `false` on "
            "both sides where a load balancer ends TLS.");
    });
}

void bind_dns(config_section& root, dns_settings& dns) {
    root.section("dns", [&](config_section& section) {
        section.list("servers", dns.servers, kinds::remote_ip_address(53),
                     "Name servers to ask. Targets' names are complete: search domains do not "
                     "apply to them.",
                     {.default_text = "the system's"});
        section.field("timeout", dns.timeout, kinds::duration(10ms, 1min),
                      "For the resolution of one name.");
        section.field("prefer", dns.prefer, kinds::choice<ip_preference>({"ipv6", "ipv4"}),
                      "The addresses of a name that are tried first (RFC 8305).");
    });
}

void bind_udp(config_section& root, udp_settings& udp) {
    root.section("udp", [&](config_section& section) {
        section.field("enabled", udp.enabled, kinds::boolean(),
                      "Whether clients may send and receive datagrams (SOCKS5's UDP ASSOCIATE, "
                      "HTTP's connect-udp). `destinations` holds for each of them.");
        section.field(
            "filter", udp.filter, kinds::choice<udp_filter>({"any", "contacted"}),
            "From whom an association takes datagrams: `\"any\"`, from every address that "
            "`destinations` allows, as games, calls and BitTorrent need it; "
            "`\"contacted\"`, only from addresses that it has sent to.");
        section.list("deny_ports", udp.deny_ports, kinds::ports(),
                     "Ports that no datagram goes to or comes from. With `[443]` browsers leave "
                     "HTTP/3 for TCP at once.");
        section.field("max_delay", udp.max_delay, kinds::duration(10ms, 10s),
                      "A datagram that has waited for its turn for that long is dropped.");
    });
}

void bind_limits(config_section& root, limit_settings& limits) {
    const auto count = kinds::number(1, 1'000'000);
    const auto rate = kinds::number(1, rate_max);
    root.section("limits", [&](config_section& section) {
        section.field("streams", limits.streams, count, "Streams at once in one session.");
        section.field("dials", limits.dials, count,
                      "Connects to targets under way at once. Users share them fairly: who has "
                      "more than what is free gets no more, so one alone has half at most. What "
                      "finds no place waits within `timeouts.connect`.");
        section.field("lookups", limits.lookups, count,
                      "Look-ups of names under way at once, shared in the same way. Each is two "
                      "queries to a DNS server, which may have a limit of its own.");
        section.field("opens_per_second", limits.opens_per_second, rate,
                      "Streams that a session may open each second.");
        section.field("opens_burst", limits.opens_burst, rate,
                      "Streams that it may open at once before that rate binds.");
        section.field(
            "incomplete_opens_per_second", limits.incomplete_opens_per_second, rate,
            "Streams that it may open each second and end before their request was complete.");
        section.field("incomplete_opens_burst", limits.incomplete_opens_burst, rate,
                      "The same at once.");
        section.field(
            "resets_per_second", limits.resets_per_second, rate,
            "Resets, by a client, of streams whose connect had not succeeded; above it the "
            "session is ended.");
        section.field("resets_burst", limits.resets_burst, rate, "The same at once.");
        section.field(
            "unauthenticated", limits.unauthenticated, count,
            "Links at once that have not authenticated yet, and as many again from hosts that "
            "authenticated within a day. One more takes the place of one that says nothing.");
        section.field("unauthenticated_per_address", limits.unauthenticated_per_address, count,
                      "The same from one address (IPv6: from one /64).");
        section.list("exempt", limits.exempt, kinds::ip_network(),
                     "Addresses for which nothing is limited by address: those of a load balancer "
                     "or of a NAT with many clients.");
        section.section("user",
                        [&](config_section& of_user) { bind_user_limits(of_user, limits.user); });
    });
}

void bind_config(config_section& root, config& config) {
    root.one_or_list("listen", config.listen, kinds::listening_address(),
                     "Where clients connect. `:443` is all addresses.", {.required = true});
    bind_tls(root, config.tls);
    bind_users(root, config.users);
    root.field("open_server", config.open_server, kinds::boolean(),
               "Whether everyone who reaches the server may use it, without token or certificate.");
    root.section("destinations", [&](config_section& section) {
        bind_destination_keys(section, config.destinations);
    });
    bind_dns(root, config.dns);
    bind_limits(root, config.limits);
    bind_udp(root, config.udp);
    host_port join_at;
    root.field("join_at", join_at, kinds::remote_address(),
               "Where clients reach this very server, past a load balancer in front of it: they "
               "dial it for further links of a session, and when a link was lost.",
               {.default_text = "none"});
    if (root.has("join_at")) config.join_at = to_string(join_at);
    root.section("proxy_protocol", [&](config_section& section) {
        section.list("from", config.proxy_protocol.from, kinds::ip_network(),
                     "Load balancers that tell the client's address by PROXY protocol version 2. "
                     "From these it is required, from all others refused.");
    });
    root.list("allow_v1", config.allow_v1, kinds::ip_network(),
              "Where version 1 peers may come from. They have no authentication, so this needs "
              "`tls.client_ca` or `open_server`.");
    bind_link(root, config.link, program_role::server);
    bind_resume(root, config.resume, program_role::server);
    bind_keepalive(root, config.keepalive, config.tcp_keepalive, program_role::server);
    bind_memory(root, config.memory);
    bind_timeouts(root, config.timeouts, program_role::server);
    root.field("threads", config.threads, kinds::number(1, 256),
               "Threads to spread the links over.", {.default_text = "one a core"});
    root.section("accounting", [&](config_section& section) {
        std::string file;
        section.path("file", file,
                     "Where what each user has moved is kept. Empty: `usage.json` in "
                     "`$STATE_DIRECTORY` (systemd's), and without that there is no accounting, and "
                     "no `quota`.");
        if (!file.empty()) config.accounting.file = file;
        section.field("every", config.accounting.every, kinds::duration(100ms, 1min),
                      "How often it is written: as much is lost by a crash. That a quota is used "
                      "up is written at once.");
    });
    bind_status(root, config.status);
    bind_log(root, config.log);
}

/// Everything that needs the whole configuration. Each throws one sentence.
class checker {
  public:
    checker(const config& settings, std::string name, std::vector<std::string>& warnings)
        : config_(settings), name_(std::move(name)), warnings_(warnings) {}

    void run() const {
        if (config_.listen.empty()) fail("listen: expected at least one address, found none");
        check_tls();
        check_open_server();
        check_version_1();
        check_proxy_protocol();
        check_links("limits.user", config_.limits.user);
        for (std::size_t i = 0; i < config_.users.size(); ++i)
            check_links("users[" + std::to_string(i) + "].limits", config_.users[i].limits);
        warn();
        if (const auto fault = status_fault(config_.status)) fail(*fault);
    }

  private:
    [[noreturn]] void fail(const std::string& sentence) const {
        throw config_error(name_ + ": " + sentence + ".");
    }

    void check_tls() const {
        const server_tls_settings& tls = config_.tls;
        if (!tls.enabled && !tls.client_ca.empty()) {
            fail("tls.client_ca: no certificate can be asked for while tls.enabled is false");
        }
        if (!tls.enabled || (!tls.cert.empty() && !tls.key.empty())) return;
        fail(std::string(tls.cert.empty() ? "tls.cert" : "tls.key") +
             ": this key is missing; TLS needs a certificate and its key (\"tls\": {\"enabled\": "
             "false} would leave links unencrypted)");
    }

    void check_open_server() const {
        if (!config_.users.empty() || !config_.tls.client_ca.empty() || config_.open_server) return;
        fail("users: this key is missing, and without \"users\" and \"tls.client_ca\" everyone "
             "could use this server; add users with tokens, or set \"open_server\" to true");
    }

    void check_version_1() const {
        check_not_everybody("allow_v1", config_.allow_v1,
                            "everybody; name the networks that version 1 peers come from");
        if (config_.allow_v1.empty() || !config_.tls.client_ca.empty() || config_.open_server)
            return;
        // Loopback, too: what forwards to this server comes from there.
        fail("allow_v1: version 1 peers cannot authenticate, so everyone who comes from \"" +
             to_string(config_.allow_v1.front()) +
             "\", or through a program there, could use this server; ask for certificates with "
             "\"tls.client_ca\", or set \"open_server\" to true");
    }

    void check_proxy_protocol() const {
        check_not_everybody("proxy_protocol.from", config_.proxy_protocol.from,
                            "everybody, who could then claim any address; name the load balancers");
    }

    void check_links(const std::string& key, const user_limit_settings& limits) const {
        const auto needed = links_needed(limits.sessions, config_.link.max);
        if (limits.links >= needed) return;
        fail(key + ".links: expected at least " + std::to_string(needed) + ", link.max (" +
             std::to_string(config_.link.max) + ") and one for each of the " +
             std::to_string(limits.sessions) + " sessions, found " + std::to_string(limits.links));
    }

    void check_not_everybody(const std::string& key, const std::vector<network>& networks,
                             const std::string& why) const {
        for (const network& each : networks)
            if (each.prefix == 0) fail(key + ": \"" + to_string(each) + "\" is " + why);
    }

    void warn() const {
        if (config_.open_server) {
            warnings_.push_back(
                "Everyone who reaches this server may use it, because open_server is "
                "true.");
        }
        if (config_.tls.enabled) return;
        for (const auto& each : config_.listen) {
            if (each.is_unix() || is_loopback(each.address.host)) continue;
            warnings_.push_back("Links to " + to_string(each) +
                                " are not encrypted, because tls.enabled is false.");
        }
    }

    const config& config_;
    std::string name_;
    std::vector<std::string>& warnings_;
};

/// Each user has all values from here on.
void complete_user_limits(config& settings) {
    auto& general = settings.limits.user;
    if (settings.resume.sessions_per_user && general.sessions == user_limit_settings{}.sessions)
        general.sessions = *settings.resume.sessions_per_user;
    if (general.memory == 0) general.memory = settings.memory.total;
    for (user& each : settings.users) {
        each.limits = over(each.limits, general);
        if (each.limits.links == 0)
            each.limits.links = links_needed(each.limits.sessions, settings.link.max);
    }
    if (general.links == 0) general.links = links_needed(general.sessions, settings.link.max);
}

/// systemd's, the first one if there are several.
void complete_accounting(accounting_settings& accounting) {
    const char* const folders = std::getenv("STATE_DIRECTORY");
    if (!accounting.file.empty() || !folders || *folders == '\0') return;
    const std::string all = folders;
    accounting.file = all.substr(0, all.find(':')) + "/usage.json";
}

} // namespace

std::optional<std::string> start_fault(const config& settings) {
    if (!settings.accounting.file.empty()) return {};
    for (std::size_t i = 0; i < settings.users.size(); ++i)
        if (settings.users[i].terms.quota.bytes > 0)
            return "users[" + std::to_string(i) +
                   "].quota: nobody would know what is used up: set \"accounting\": {\"file\": "
                   "...}, or start the server with $STATE_DIRECTORY (systemd: StateDirectory=)";
    return {};
}

loaded_config parse_config(const std::string& text, const config_origin& origin,
                           const command_line& line) {
    loaded_config loaded;
    config& settings = loaded.settings;
    read_config(text, origin, loaded.warnings,
                [&](config_section& root) { bind_config(root, settings); });
    if (line.level) settings.log.level = *line.level;
    if (settings.threads == 0) settings.threads = usable_cores();
    expand_listen_addresses(settings.listen);
    complete_memory(settings.memory);
    complete_user_limits(settings);
    complete_accounting(settings.accounting);
    settings.udp.idle = settings.timeouts.udp_idle;
    checker(settings, origin.name, loaded.warnings).run();
    return loaded;
}

loaded_config load_config(const command_line& line) {
    const wiped_frees wiped; // Of a token its digest stays.
    // The server's command line names no server, so a file is always found, or none throws.
    const std::filesystem::path path = find_config(program_role::server, line).value();
    return parse_config(read_config_file(path), config_origin::of_file(path), line);
}

std::vector<key_info> config_keys() {
    config defaults;
    return describe_config([&](config_section& root) { bind_config(root, defaults); });
}

} // namespace muxsocks::server
