#include "server/config.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/config_reader.hpp"
#include "protocol/program/resources.hpp"
#include "protocol/program/secret.hpp"
#include "protocol/program/values.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <fmt/ranges.h>

using namespace muxsocks;
using namespace muxsocks::server;
using namespace std::chrono_literals;
using muxsocks::test::contains;

namespace {

const std::string token = "0123456789abcdef0123456789abcdef";

loaded_config load(const std::string& text, const command_line& line = {}) {
    return parse_config(text, {"server.json", {}}, line);
}

/// The sentence that refuses `text`, without the file's name; or "accepted".
std::string refusal(const std::string& text) {
    try {
        (void)load(text);
        return "accepted";
    } catch (const config_error& error) {
        const std::string sentence = error.what();
        REQUIRE(sentence.find("server.json: ") == 0);
        return sentence.substr(13);
    }
}

/// A plain server on loopback for everyone, with these keys besides.
std::string plain_open(const std::string& keys) {
    return R"({"listen": "127.0.0.1:1", "tls": {"enabled": false}, "open_server": true, )" + keys +
           "}";
}

/// A plain server on loopback with one user, with these keys besides.
std::string plain(const std::string& keys) {
    return R"({"listen": "127.0.0.1:1", "tls": {"enabled": false},
               "users": [{"name": "a", "token": ")" +
           token + "\"}], " + keys + "}";
}

config with(const std::string& keys) { return load(plain_open(keys)).settings; }

std::string refusal_with(const std::string& keys) { return refusal(plain_open(keys)); }

std::string refusal_of_users(const std::string& users) {
    return refusal(R"({"listen": "127.0.0.1:1", "tls": {"enabled": false}, "users": )" + users +
                   "}");
}

std::vector<network> networks(const std::vector<const char*>& texts) {
    std::vector<network> result;
    for (const char* text : texts) {
        result.push_back(parse_network(text).value());
    }
    return result;
}

} // namespace

TEST_CASE("a server that is told the least") {
    const config settings = load(plain("\"open_server\": false")).settings;
    CHECK(settings.listen == std::vector<listen_address>{{{"127.0.0.1", 1}, false}});
    CHECK(settings.users ==
          std::vector<user>{{"a", token_digest(token), std::nullopt, settings.limits.user}});
    CHECK_FALSE(settings.open_server);
    CHECK(settings.link == link_settings{4, "auto"});
    CHECK(settings.tls.channel_binding);
    CHECK(settings.destinations == destination_settings{});
    CHECK_FALSE(settings.destinations.allow_private);
    CHECK(settings.dns.servers.empty());
    CHECK(settings.dns.timeout == 5s);
    CHECK(settings.dns.prefer == ip_preference::ipv6);
    CHECK(settings.limits.streams == 16'384);
    CHECK(settings.limits.dials == 1024);
    CHECK(settings.limits.lookups == 256);
    CHECK(settings.limits.opens_per_second == 20'000);
    CHECK(settings.limits.opens_burst == 20'000);
    CHECK(settings.limits.incomplete_opens_per_second == 200);
    CHECK(settings.limits.incomplete_opens_burst == 1'000);
    CHECK(settings.limits.resets_per_second == 33);
    CHECK(settings.limits.resets_burst == 1'000);
    CHECK(settings.limits.unauthenticated == 256);
    CHECK(settings.limits.unauthenticated_per_address == 8);
    CHECK(settings.limits.exempt.empty());
    CHECK(settings.udp == udp_settings{true, udp_filter::any, {}, 200ms, 5min});
    CHECK(settings.limits.user == user_limit_settings{8, 40, 4'096, 512, 128, 8'192, 256,
                                                      settings.memory.total, 256U << 20});
    CHECK(settings.proxy_protocol.from.empty());
    CHECK(settings.allow_v1.empty());
    CHECK(settings.resume == resume_settings{true, 8h, 100'000, {}});
    CHECK(settings.keepalive == keepalive_settings{15s, 10s});
    CHECK(settings.tcp_keepalive == tcp_keepalive_settings{60s, 30s, 4});
    CHECK(settings.memory.total > 0);
    CHECK(settings.timeouts == timeout_settings{10s, 5s, 10s, 30s, 10s, 30s, 0s, 0s});
    CHECK(settings.threads == usable_cores());
    CHECK(settings.log.level == log_level::info);
}

TEST_CASE("a server that is told everything") {
    const test::temporary_folder folder;
    folder.write("token", token);
    for (const char* name : {"cert.pem", "key.pem", "ca.pem"}) {
        folder.write(name, "x");
    }
    const std::string digest(64, 'a');
    const std::string text = R"({
        "listen": [":443", "[::1]:0"],
        "tls": {"cert": "cert.pem", "key": "key.pem", "client_ca": "ca.pem",
                "channel_binding": false},
        "users": [{"name": "a", "token_file": "token",
                   "limits": {"streams": 5, "memory": "3MiB"},
                   "destinations": {"deny": ["192.0.2.0/24"], "allow": ["::1"],
                                    "allow_private": true, "ports": [22, "8000-8999"]}},
                  {"name": "b", "token_sha256": ")" +
                             digest + R"("}],
        "destinations": {"deny": ["198.51.100.0/24"], "allow": ["10.0.0.0/8"],
                         "allow_private": true, "ports": ["443", 80]},
        "dns": {"servers": ["192.0.2.1", "[2001:db8::1]:5353"], "timeout": "1s", "prefer": "ipv4"},
        "limits": {"streams": 1, "dials": 2, "lookups": 11, "opens_per_second": 3,
                   "opens_burst": 4,
                   "incomplete_opens_per_second": 5, "incomplete_opens_burst": 6,
                   "resets_per_second": 7, "resets_burst": 8, "unauthenticated": 9,
                   "unauthenticated_per_address": 10, "exempt": ["10.0.0.1"],
                   "user": {"sessions": 1, "links": 20, "streams": 3, "dials": 4, "lookups": 5,
                            "files": 6, "udp_associations": 7, "memory": "1MiB", "detached_memory": "2MiB"}},
        "proxy_protocol": {"from": ["10.0.0.2"]}, "join_at": "[2001:db8::1]:444",
        "allow_v1": ["10.0.0.0/8"],
        "link": {"max": 2, "congestion": "reno"},
        "resume": {"enabled": false, "timeout": "1s", "sessions": 2},
        "keepalive": {"interval": "1s", "timeout": "2s",
                      "tcp": {"idle": "3s", "interval": "4s", "count": 5}},
        "memory": {"stream_window": "1MiB", "session": "2MiB", "total": "4MiB"},
        "timeouts": {"connect": "1s", "handshake": "2s", "request": "3s", "frame": "4s",
                     "drain": "6s", "idle": "7s", "half_closed": "8s", "udp_idle": "9s"},
        "udp": {"enabled": false, "filter": "contacted", "deny_ports": [443, "5000-5001"], "max_delay": "50ms"},
        "threads": 2,
        "log": {"level": "warning", "format": "json", "file": "a.log", "destinations": true}
    })";
    const auto origin = config_origin::of_file(folder.path() / "server.json");
    const config settings = parse_config(text, origin, {}).settings;
    const auto in_folder = [&](const char* name) { return (folder.path() / name).string(); };

    CHECK(settings.listen == std::vector<listen_address>{{{"", 443}, false}, {{"::1", 0}, false}});
    CHECK(settings.tls == server_tls_settings{true, in_folder("cert.pem"), in_folder("key.pem"),
                                              in_folder("ca.pem"), false});
    REQUIRE(settings.users.size() == 2);
    const destination_settings own{
        networks({"192.0.2.0/24"}), networks({"::1"}), true, {{22, 22}, {8000, 8999}}};
    CHECK(settings.users[0] ==
          user{"a", token_digest(token), own, {1, 20, 5, 4, 5, 6, 7, 3U << 20, 2U << 20}});
    CHECK(settings.users[1].token_sha256[0] == 0xaa);
    CHECK_FALSE(settings.users[1].destinations);
    CHECK(settings.destinations == destination_settings{networks({"198.51.100.0/24"}),
                                                        networks({"10.0.0.0/8"}),
                                                        true,
                                                        {{443, 443}, {80, 80}}});
    CHECK(settings.dns ==
          dns_settings{{{"192.0.2.1", 53}, {"2001:db8::1", 5353}}, 1s, ip_preference::ipv4});
    CHECK(settings.limits == limit_settings{1,
                                            2,
                                            11,
                                            3,
                                            4,
                                            5,
                                            6,
                                            7,
                                            8,
                                            9,
                                            10,
                                            networks({"10.0.0.1"}),
                                            {1, 20, 3, 4, 5, 6, 7, 1U << 20, 2U << 20}});
    CHECK(settings.proxy_protocol.from == networks({"10.0.0.2"}));
    CHECK(settings.join_at == "[2001:db8::1]:444");
    CHECK(settings.allow_v1 == networks({"10.0.0.0/8"}));
    CHECK(settings.link == link_settings{2, "reno"});
    CHECK(settings.resume == resume_settings{false, 1s, 2, {}});
    CHECK(settings.keepalive == keepalive_settings{1s, 2s});
    CHECK(settings.tcp_keepalive == tcp_keepalive_settings{3s, 4s, 5});
    CHECK(settings.memory == memory_settings{1U << 20, 2U << 20, 4U << 20});
    CHECK(settings.timeouts == timeout_settings{1s, 2s, 3s, 4s, 10s, 6s, 7s, 8s, 9s});
    CHECK(settings.udp ==
          udp_settings{false, udp_filter::contacted, {{443, 443}, {5'000, 5'001}}, 50ms, 9s});
    CHECK(settings.threads == 2);
    CHECK(settings.log ==
          log_settings{log_level::warning, log_format::json, in_folder("a.log"), true});
}

TEST_CASE("a server's file is found and read, and the command line's log level wins") {
    const test::temporary_folder folder;
    command_line line;
    line.level = log_level::trace;
    line.config_path = folder.write("my.json", plain_open(R"("log": {"level": "error"})"));
    CHECK(load_config(line).settings.log.level == log_level::trace);
}

TEST_CASE("a server needs an address to listen on") {
    CHECK(refusal(R"({"open_server": true, "tls": {"enabled": false}})") ==
          "listen: this key is missing.");
    CHECK(refusal(R"({"open_server": true, "tls": {"enabled": false}, "listen": []})") ==
          "listen: expected at least one address, found none.");
}

TEST_CASE("a server that everyone could use is refused") {
    const test::temporary_folder folder;
    const std::string pem = folder.write("a.pem", "x");
    SECTION("without users and without certificates of clients") {
        CHECK(refusal(R"({"listen": "127.0.0.1:1", "tls": {"enabled": false}})") ==
              "users: this key is missing, and without \"users\" and \"tls.client_ca\" everyone "
              "could use this server; add users with tokens, or set \"open_server\" to true.");
        CHECK_THAT(refusal_of_users("[]"), contains("everyone could use this server"));
    }
    SECTION("but not with either of them, or when it is asked for") {
        CHECK(refusal(plain("\"threads\": 1")) == "accepted");
        CHECK(refusal(R"({"listen": ":1", "tls": {"cert": ")" + pem + R"(", "key": ")" + pem +
                      R"(", "client_ca": ")" + pem + "\"}}") == "accepted");
        CHECK(refusal_with("\"threads\": 1") == "accepted");
    }
    SECTION("also when the certificates could not be asked for") {
        CHECK(refusal(R"({"listen": ":1", "tls": {"enabled": false, "client_ca": ")" + pem +
                      "\"}}") ==
              "tls.client_ca: no certificate can be asked for while tls.enabled is false.");
    }
    SECTION("and one that is open on purpose says so") {
        const auto warnings = load(plain_open("\"threads\": 1")).warnings;
        REQUIRE(warnings.size() == 1);
        CHECK_THAT(warnings[0], contains("Everyone who reaches this server may use it"));
    }
}

TEST_CASE("version 1 peers, who cannot authenticate,") {
    SECTION("are refused beside users, from loopback, too: what forwards comes from there") {
        for (const char* from : {"10.0.0.0/8", "127.0.0.0/8", "127.0.0.1", "::1"}) {
            INFO(from);
            CHECK(refusal(plain("\"allow_v1\": [\"" + std::string(from) + "\"]")) ==
                  "allow_v1: version 1 peers cannot authenticate, so everyone who comes from \"" +
                      std::string(from) +
                      "\", or through a program there, could use this server; ask for certificates "
                      "with \"tls.client_ca\", or set \"open_server\" to true.");
        }
    }
    SECTION("are accepted with certificates, and by an open server") {
        const test::temporary_folder folder;
        const std::string pem = folder.write("a.pem", "x");
        CHECK(refusal(R"({"listen": ":1", "allow_v1": ["10.0.0.0/8"], "tls": {"cert": ")" + pem +
                      R"(", "key": ")" + pem + R"(", "client_ca": ")" + pem + "\"}}") ==
              "accepted");
        CHECK(refusal_with(R"("allow_v1": ["127.0.0.0/8", "::1"])") == "accepted");
    }
    SECTION("are not everybody") {
        CHECK(refusal_with(R"("allow_v1": ["10.0.0.0/8", "0.0.0.0/0"])") ==
              "allow_v1: \"0.0.0.0/0\" is everybody; name the networks that version 1 peers come "
              "from.");
        CHECK_THAT(refusal_with(R"("allow_v1": ["::/0"])"), contains("\"::/0\" is everybody"));
    }
}

TEST_CASE("load balancers are not everybody") {
    CHECK(refusal_with(R"("proxy_protocol": {"from": ["10.0.0.0/8"]})") == "accepted");
    CHECK(refusal_with(R"("proxy_protocol": {"from": ["0.0.0.0/0"]})") ==
          "proxy_protocol.from: \"0.0.0.0/0\" is everybody, who could then claim any address; name "
          "the load balancers.");
}

TEST_CASE("a server's TLS") {
    const test::temporary_folder folder;
    const std::string pem = folder.write("a.pem", "x");
    SECTION("needs a certificate and its key") {
        CHECK_THAT(refusal(R"({"listen": ":1", "open_server": true})"),
                   contains("tls.cert: this key is missing"));
        CHECK_THAT(
            refusal(R"({"listen": ":1", "open_server": true, "tls": {"cert": ")" + pem + "\"}}"),
            contains("tls.key: this key is missing"));
    }
    SECTION("needs files that can be read") {
        CHECK(refusal(R"({"listen": ":1", "tls": {"cert": "/nowhere/a.pem"}})") ==
              "tls.cert: cannot read \"/nowhere/a.pem\": No such file or directory.");
    }
    SECTION("with a key that every user may read brings a warning") {
        const std::string key = folder.write("key.pem", "x", 0644);
        const auto warnings = load(R"({"listen": ":1", "users": [{"name": "a", "token_sha256": ")" +
                                   std::string(64, 'a') + R"("}], "tls": {"cert": ")" + pem +
                                   R"(", "key": ")" + key + "\"}}")
                                  .warnings;
        REQUIRE(warnings.size() == 1);
        CHECK_THAT(warnings[0], contains("key.pem"));
    }
    SECTION("that is off brings a warning where others listen in") {
        const auto warnings = load(R"({"listen": ["127.0.0.1:1", ":2"], "tls": {"enabled": false},
                     "users": [{"name": "a", "token_sha256": ")" +
                                   std::string(64, 'a') + "\"}]}")
                                  .warnings;
        REQUIRE(warnings.size() == 1);
        CHECK_THAT(warnings[0], contains("Links to :2 are not encrypted"));
    }
}

TEST_CASE("a server's users") {
    const std::string digest(64, 'a');
    SECTION("have one form of token each") {
        CHECK(refusal_of_users(R"([{"name": "a"}])") ==
              "users[0].token: this key, \"token_file\" or \"token_sha256\" is missing.");
        CHECK(refusal_of_users(R"([{"name": "a", "token": ")" + token + R"(", "token_sha256": ")" +
                               digest + "\"}]") ==
              "users[0].token_sha256: this key and the token itself exclude each other.");
    }
    SECTION("have strong tokens") {
        const test::temporary_folder folder;
        CHECK_THAT(refusal_of_users(R"([{"name": "a", "token": "secret"}])"),
                   contains("users[0].token: a token needs 128 random bits"));
        CHECK_THAT(refusal_of_users(R"([{"name": "a", "token_file": ")" +
                                    folder.write("token", "secret") + "\"}]"),
                   contains("users[0].token_file: a token needs 128 random bits"));
    }
    SECTION("have digests of the right length") {
        CHECK(refusal_of_users(R"([{"name": "a", "token_sha256": "abcdef"}])") ==
              "users[0].token_sha256: expected a SHA-256 digest as 64 hexadecimal digits or 44 "
              "characters of base64, found something else; it has 6 characters.");
    }
    SECTION("have tokens that are somebody's alone") {
        const auto by_digest = [](const std::string& digits) {
            return refusal_of_users(R"([{"name": "a", "token_sha256": ")" + digits + "\"}]");
        };
        CHECK_THAT(by_digest(std::string(64, '0')),
                   contains("users[0].token_sha256: all zeros is the digest of no token; "));
        // printf '' | sha256sum
        CHECK_THAT(by_digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                   contains("users[0].token_sha256: that is the digest of no token; "));
        // The vector "key" of docs/PROTOCOL.md, and its token.
        CHECK_THAT(by_digest("73337f479fe170d73e53e247f3052e4243cc9c2a0ffa621853d9385c619efb77"),
                   contains("users[0].token_sha256: this token stands in docs/PROTOCOL.md"));
        CHECK_THAT(
            refusal_of_users(R"([{"name": "a", "token": "0123456789abcdefghijklmnopqrstuv"}])"),
            contains("users[0].token: this token stands in docs/PROTOCOL.md"));
    }
    SECTION("are the same by token and by its digest") {
        const std::string sum = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";
        const auto by_digest = load(R"({"listen": "127.0.0.1:1", "tls": {"enabled": false},
            "users": [{"name": "a", "token_sha256": ")" +
                                    sum + "\"}]}");
        // printf 'foo\n' | sha256sum
        CHECK(by_digest.settings.users[0].token_sha256 == token_digest("foo\n"));
    }
    SECTION("have names of their own") {
        const std::string one = R"({"name": "a", "token_sha256": ")" + digest + "\"}";
        CHECK(refusal_of_users("[" + one + ", " + one + "]") ==
              "users[1].name: this name stands there twice.");
        CHECK(refusal_of_users(R"([{"token_sha256": ")" + digest + "\"}]") ==
              "users[0].name: this key is missing.");
        CHECK(refusal_of_users("[" + one + R"(, {"username": "a", "token_sha256": ")" + digest +
                               "\"}]") == "users[1].name: this name stands there twice.");
    }
    SECTION("have wrong destinations refused by their path") {
        CHECK(refusal_of_users(R"([{"name": "a", "token_sha256": ")" + digest +
                               R"(", "destinations": {"alow": []}}])") ==
              "users[0].destinations.alow: unknown key; did you mean \"allow\"?");
    }
}

TEST_CASE("ports of destinations") {
    const auto ports = [](const std::string& list) {
        return with("\"destinations\": {\"ports\": " + list + "}").destinations.ports;
    };
    CHECK(ports(R"([443, "80", "1-65535"])") ==
          std::vector<port_range>{{443, 443}, {80, 80}, {1, 65'535}});
    for (const char* wrong : {"0", "65536", "-1", "\"\"", "\"0-80\"", "\"90-80\"", "\"80-\"",
                              "\"-80\"", "\"80-90-100\"", "\"http\"", "80.5", "\"80 - 90\""}) {
        INFO(wrong);
        CHECK_THAT(refusal_with("\"destinations\": {\"ports\": [" + std::string(wrong) + "]}"),
                   contains("destinations.ports[0]: expected a port, such as 443, or a range"));
    }
}

TEST_CASE("a server's name servers are IP addresses") {
    CHECK(refusal_with(R"("dns": {"servers": ["127.0.0.1:5353"]})") == "accepted");
    for (const char* wrong : {"dns.example", "dns.example:53", "192.0.2.1:0", ":53", ""}) {
        INFO(wrong);
        CHECK_THAT(refusal_with("\"dns\": {\"servers\": [\"" + std::string(wrong) + "\"]}"),
                   contains("dns.servers[0]: expected an IP address"));
    }
}

TEST_CASE("keys of the client, and of what does not exist yet, are unknown to the server") {
    for (const char* keys :
         {R"("server": "a.example:1")", R"("links": 1)", R"("open_listener": true)",
          R"("timeouts": {"wait": "1s"})", R"("auth": {})"}) {
        INFO(keys);
        CHECK_THAT(refusal_with(keys), contains("unknown key"));
    }
}

TEST_CASE("two configurations of a server") {
    SECTION("are equal when everything in them is") {
        CHECK(with(R"("threads": 2)") == with(R"("threads": 2)"));
    }
    SECTION("differ when anything in them does") {
        for (const char* keys :
             {R"("threads": 3)", R"("destinations": {"allow": ["::1"]})", R"("allow_v1": ["::1"])",
              R"("limits": {"exempt": ["::1"]})", R"("dns": {"prefer": "ipv4"})"}) {
            INFO(keys);
            CHECK(with(keys) != with(R"("threads": 2)"));
        }
    }
}

TEST_CASE("what a user may hold") {
    const auto one_user = [](const std::string& of_user, const std::string& general) {
        return load(R"({"listen": "127.0.0.1:1", "tls": {"enabled": false}, "users": [)"
                    R"({"name": "a", "token": ")" +
                    token + "\"" + of_user + "}]" + general + "}");
    };
    SECTION("is what limits.user says, or the defaults") {
        const auto settings = one_user("", R"(, "limits": {"user": {"streams": 9}})").settings;
        CHECK(settings.users[0].limits == settings.limits.user);
        CHECK(settings.limits.user.streams == 9);
        CHECK(settings.limits.user.sessions == 8);
        CHECK(settings.limits.user.links == 40);
        CHECK(settings.limits.user.memory == settings.memory.total);
    }
    SECTION("is what stands there for one user") {
        const auto settings = one_user(R"(, "limits": {"sessions": 2, "files": 7})",
                                       R"(, "limits": {"user": {"files": 9, "links": 100}})")
                                  .settings;
        const auto& own = settings.users[0].limits;
        CHECK(own.sessions == 2);
        CHECK(own.links == 10);
        CHECK(own.files == 7);
        CHECK(own.streams == 4'096);
        CHECK(settings.limits.user.links == 100);
    }
    SECTION("can be said by the keys of before, which is told") {
        const auto loaded =
            one_user(R"(, "max_streams": 5)", R"(, "resume": {"sessions_per_user": 3})");
        CHECK(loaded.settings.users[0].limits.streams == 5);
        CHECK(loaded.settings.users[0].limits.sessions == 3);
        REQUIRE(loaded.warnings.size() >= 2);
        const auto all = fmt::format("{}", fmt::join(loaded.warnings, " "));
        CHECK_THAT(all,
                   contains("users[0].max_streams: this key is called \"limits.streams\" now"));
        CHECK_THAT(all, contains("resume.sessions_per_user: this key is called "
                                 "\"limits.user.sessions\" now"));
    }
    SECTION("has links enough for the sessions") {
        CHECK_THAT(refusal(plain(R"("limits": {"user": {"sessions": 4, "links": 19}})")),
                   contains("limits.user.links: expected at least 20"));
    }
}

TEST_CASE("on which terms a user may come") {
    const auto one_user = [](const std::string& of_user) {
        return R"({"listen": "127.0.0.1:1", "tls": {"enabled": false}, "users": [)"
               R"({"name": "a", "token": ")" +
               token + "\"" + of_user + "}]}";
    };
    SECTION("is said for each; by default there are none") {
        const auto terms = load(one_user("")).settings.users[0].terms;
        CHECK(terms == user_terms());
        CHECK(terms.udp);
        const auto own =
            load(
                one_user(
                    R"(, "expires": "2027-01-31T01:00:00+01:00", "max_addresses": 2, "udp": false)"))
                .settings.users[0]
                .terms;
        CHECK(own == user_terms{parse_time("2027-01-31T00:00:00Z").value(), 2, false, {}, {}});
        const auto rate =
            load(one_user(R"(, "rate": {"down": "20Mbit"})")).settings.users[0].terms.rate;
        CHECK(rate == user_rate{0, 20'000'000});
    }
    SECTION("is refused where it is not clear") {
        CHECK_THAT(refusal(one_user(R"(, "expires": "2027-01-31")")),
                   contains("users[0].expires: expected a time, such as") &&
                       contains("say when, as in \"2027-01-31T00:00:00Z\""));
        CHECK_THAT(refusal(one_user(R"(, "expires": "2027-01-31T08:00:00")")),
                   contains("the offset from UTC is missing"));
        CHECK_THAT(refusal(one_user(R"(, "expires": 1801353600)")), contains("expected a time"));
        CHECK_THAT(refusal(one_user(R"(, "rate": {"up": "20MB"})")),
                   contains("users[0].rate.up: expected a rate from 8kbit to 100Gbit") &&
                       contains("its units are kbit, Mbit and Gbit"));
        CHECK_THAT(refusal(one_user(R"(, "rate": {"up": "7999"})")), contains("users[0].rate.up"));
        CHECK_THAT(refusal(one_user(R"(, "quota": {"per": "day"})")),
                   contains("users[0].quota.bytes"));
        CHECK_THAT(refusal(one_user(R"(, "quota": {"bytes": "1GiB", "then": "slow"})")),
                   contains("users[0].quota.rate: this key is missing"));
        CHECK_THAT(refusal(one_user(R"(, "quota": {"bytes": "1GiB", "rate": {"up": "1Mbit"}})")),
                   contains("this key belongs to"));
    }
    SECTION("includes a quota, for which there must be accounting where the server starts") {
        const char* const quota =
            R"(, "quota": {"bytes": "5GiB", "per": "week", "count": "down", "then": "slow", "rate": {"down": "1Mbit"}})";
        auto settings = load(one_user(quota)).settings;
        const auto& found = settings.users[0].terms.quota;
        CHECK(found.bytes == 5ULL << 30);
        CHECK(found.per == quota_period::week);
        CHECK(found.count == quota_settings::counted::down);
        CHECK(found.slow_rate == user_rate{0, 1'000'000});
        settings.accounting.file.clear();
        REQUIRE(start_fault(settings));
        CHECK_THAT(*start_fault(settings), contains("users[0].quota: nobody would know"));
        settings.accounting.file = "usage.json";
        CHECK_FALSE(start_fault(settings));
        CHECK_FALSE(start_fault(load(one_user("")).settings));
    }
}
