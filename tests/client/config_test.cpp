#include "client/config.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/config_reader.hpp"
#include "protocol/program/secret.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

using namespace muxsocks;
using namespace muxsocks::client;
using namespace std::chrono_literals;
using muxsocks::test::contains;

namespace {

const std::string token = "0123456789abcdef0123456789abcdef";

loaded_config load(const std::string& text, const command_line& line = {}) {
    return parse_config(text, {"client.json", {}}, line);
}

/// The settings of a client with a server and these keys besides.
config with(const std::string& keys) {
    return load("{\"server\": \"example.org:443\", " + keys + "}").settings;
}

/// The sentence that refuses `text`, without the file's name; or "accepted".
std::string refusal(const std::string& text, const command_line& line = {}) {
    try {
        (void)load(text, line);
        return "accepted";
    } catch (const config_error& error) {
        const std::string sentence = error.what();
        REQUIRE(sentence.find("client.json: ") == 0);
        return sentence.substr(13);
    }
}

std::string refusal_with(const std::string& keys) {
    return refusal("{\"server\": \"example.org:443\", " + keys + "}");
}

} // namespace

TEST_CASE("a client that is told its sessions by the name that they had") {
    const auto loaded = load(R"({"server": "example.org:443", "links": 3})");
    CHECK(loaded.settings.sessions == 3);
    REQUIRE(loaded.warnings.size() == 1);
    CHECK_THAT(loaded.warnings[0], test::contains("links: this key is called \"sessions\" now"));
    CHECK_THAT(refusal_with(R"("links": 3, "sessions": 3)"), test::contains("are the same"));
    CHECK_THAT(refusal_with(R"("links": 0)"), test::contains("links"));
}

TEST_CASE("a client that is told its server only") {
    const config settings = load(R"({"server": "example.org:443"})").settings;
    CHECK(settings.servers == std::vector<server_entry>{{{"example.org", 443}, 0, 1, ""}});
    CHECK(settings.listen ==
          std::vector<listen_address>{{{"127.0.0.1", 1080}, true}, {{"::1", 1080}, true}});
    CHECK_FALSE(settings.open_listener);
    CHECK(settings.users.empty());
    CHECK(settings.sessions == 1);
    CHECK(settings.link_max_age == 0ms);
    CHECK(settings.link == link_settings{3, "auto"});
    CHECK_FALSE(settings.auth.token_sha256);
    CHECK(settings.tls.enabled);
    CHECK(settings.tls.channel_binding);
    CHECK(settings.resume.enabled);
    CHECK(settings.resume.timeout == 8h);
    CHECK(settings.keepalive.interval == 15s);
    CHECK(settings.keepalive.timeout == 10s);
    CHECK(settings.tcp_keepalive == tcp_keepalive_settings{60s, 30s, 4});
    CHECK(settings.memory.stream_window == 64ULL << 20);
    CHECK(settings.memory.session == 256ULL << 20);
    CHECK(settings.memory.total > 0);
    CHECK(settings.timeouts.connect == 10s);
    CHECK(settings.timeouts.handshake == 5s);
    CHECK(settings.timeouts.request == 10s);
    CHECK(settings.timeouts.frame == 30s);
    CHECK(settings.timeouts.wait == 10s);
    CHECK(settings.timeouts.drain == 30s);
    CHECK(settings.timeouts.idle == 0s);
    CHECK(settings.timeouts.half_closed == 0s);
    CHECK_FALSE(settings.allow_v1);
    CHECK(settings.threads == 1);
    CHECK(settings.log == log_settings{log_level::info, log_format::text, "", false});
}

TEST_CASE("a client that is told everything") {
    const test::temporary_folder folder;
    folder.write("password", "sesame\n");
    folder.write("token", token + "\n");
    folder.write("ca.pem", "ca");
    folder.write("cert.pem", "certificate");
    folder.write("key.pem", "key");
    const std::string text = R"({
        "listen": ["0.0.0.0:1081", ":1082", "localhost:1083"],
        "users": [{"name": "a", "password": "b"},
                  {"username": "c", "password_file": "password"}],
        "servers": [{"address": "[2001:db8::1]:443", "priority": 2, "weight": 3,
                     "server_name": "x.example"}, {"address": "b.example:444"}],
        "sessions": 4, "link_max_age": "1h",
        "auth": {"user": "alice", "token_file": "token"},
        "tls": {"ca": "ca.pem", "server_name": "y.example", "cert": "cert.pem", "key": "key.pem",
                "channel_binding": false,
                "pin_sha256": ["qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo="]},
        "link": {"max": 2, "congestion": "reno"},
        "resume": {"enabled": false, "timeout": "30s"},
        "keepalive": {"interval": "1s", "timeout": "2s",
                      "tcp": {"idle": "3s", "interval": "4s", "count": 5}},
        "memory": {"stream_window": "1MiB", "session": "2MiB", "total": "4MiB"},
        "timeouts": {"connect": "1s", "handshake": "2s", "request": "3s", "frame": "4s",
                     "wait": "5s", "drain": "6s", "idle": "7s", "half_closed": "8s"},
        "allow_v1": true, "threads": 2,
        "log": {"level": "trace", "format": "json", "file": "a.log", "destinations": true}
    })";
    const auto origin = config_origin::of_file(folder.path() / "client.json");
    const config settings = parse_config(text, origin, {}).settings;
    const auto in_folder = [&](const char* name) { return (folder.path() / name).string(); };

    CHECK(settings.listen == std::vector<listen_address>{{{"0.0.0.0", 1081}, false},
                                                         {{"", 1082}, false},
                                                         {{"127.0.0.1", 1083}, true},
                                                         {{"::1", 1083}, true}});
    CHECK(settings.users == std::vector<socks_user>{{"a", "b"}, {"c", "sesame"}});
    CHECK(settings.servers == std::vector<server_entry>{{{"2001:db8::1", 443}, 2, 3, "x.example"},
                                                        {{"b.example", 444}, 0, 1, ""}});
    CHECK(settings.sessions == 4);
    CHECK(settings.link_max_age == 1h);
    CHECK(settings.auth == auth_settings{"alice", token_digest(token)});
    sha256_digest pin{};
    pin.fill(0xaa);
    CHECK(settings.tls == client_tls_settings{true,
                                              in_folder("ca.pem"),
                                              "y.example",
                                              {pin},
                                              in_folder("cert.pem"),
                                              in_folder("key.pem"),
                                              false});
    CHECK(settings.link == link_settings{2, "reno"});
    CHECK_FALSE(settings.resume.enabled);
    CHECK(settings.resume.timeout == 30s);
    CHECK(settings.keepalive == keepalive_settings{1s, 2s});
    CHECK(settings.tcp_keepalive == tcp_keepalive_settings{3s, 4s, 5});
    CHECK(settings.memory == memory_settings{1U << 20, 2U << 20, 4U << 20});
    CHECK(settings.timeouts == timeout_settings{1s, 2s, 3s, 4s, 5s, 6s, 7s, 8s});
    CHECK(settings.allow_v1);
    CHECK(settings.threads == 2);
    CHECK(settings.log ==
          log_settings{log_level::trace, log_format::json, in_folder("a.log"), true});
}

TEST_CASE("the command line wins over a client's file") {
    const test::temporary_folder folder;
    command_line line;
    line.level = log_level::debug;
    line.listen = {{{"127.0.0.1", 9}, false}};
    line.server = host_port{"b.example", 444};
    line.user = "bob";
    line.token_file = folder.write("token", token);
    line.ca = folder.write("ca.pem", "ca");
    line.pins = {sha256_digest{1}};
    const config settings = load(R"({"server": "a.example:443", "listen": "[::1]:7",
        "log": {"level": "error"}, "threads": 3})",
                                 line)
                                .settings;
    CHECK(settings.log.level == log_level::debug);
    CHECK(settings.listen == line.listen);
    CHECK(settings.servers == std::vector<server_entry>{{{"b.example", 444}, 0, 1, ""}});
    CHECK(settings.auth == auth_settings{"bob", token_digest(token)});
    CHECK(settings.tls.ca == line.ca);
    CHECK(settings.tls.pin_sha256 == line.pins);
    CHECK(settings.threads == 3);
}

TEST_CASE("a client without a file") {
    const test::temporary_folder folder;
    command_line line;
    line.server = host_port{"b.example", 444};
    SECTION("is told its server by the command line") {
        const config settings = load_config(line).settings;
        CHECK(settings.servers.at(0).address == host_port{"b.example", 444});
        CHECK(settings.listen.size() == 2);
    }
    SECTION("is refused what a file is refused") {
        line.listen = {{{"", 1080}, false}};
        CHECK_THROWS_WITH(load_config(line),
                          contains("command line: listen: \":1080\" can be reached"));
    }
    SECTION("is refused a weak token, an unreadable one and an unreadable CA file") {
        line.user = "bob";
        line.token_file = folder.write("token", "short");
        CHECK_THROWS_WITH(load_config(line), contains("--token-file: a token needs 128"));
        line.token_file = "/nowhere/token";
        CHECK_THROWS_WITH(
            load_config(line),
            "--token-file: cannot read \"/nowhere/token\": No such file or directory.");
        line.token_file.reset();
        line.user.reset();
        line.ca = "/nowhere/ca.pem";
        CHECK_THROWS_WITH(load_config(line),
                          "--ca: cannot read \"/nowhere/ca.pem\": No such file or directory.");
    }
}

TEST_CASE("a client's file is found and read") {
    const test::temporary_folder folder;
    command_line line;
    line.config_path = folder.write("my.json", R"({"server": "c.example:1"} // the only key)");
    CHECK(load_config(line).settings.servers.at(0).address == host_port{"c.example", 1});
    line.config_path += ".none";
    CHECK_THROWS_AS(load_config(line), config_error);
}

TEST_CASE("a client needs a server") {
    CHECK_THAT(refusal("{}"), contains("server: this key is missing"));
    CHECK_THAT(refusal(R"({"servers": []})"), contains("server: this key is missing"));
    CHECK(refusal(R"({"server": "a.example:1", "servers": [{"address": "b.example:1"}]})") ==
          "server: this key and \"servers\" exclude each other.");
    CHECK(refusal(R"({"servers": [{"weight": 1}]})") == "servers[0].address: this key is missing.");
}

TEST_CASE("a client that others can reach is refused") {
    SECTION("without users") {
        for (const char* listen : {":1080", "0.0.0.0:1080", "[::]:1080", "192.0.2.1:1080"}) {
            INFO(listen);
            CHECK(refusal_with("\"listen\": [\"127.0.0.1:1\", \"" + std::string(listen) + "\"]") ==
                  "listen: \"" + std::string(listen) +
                      "\" can be reached from other machines, and without \"users\" everyone there "
                      "could use this proxy; add users, listen on 127.0.0.1, or set "
                      "\"open_listener\" to true.");
        }
    }
    SECTION("but not with users, or when it is asked for") {
        CHECK(refusal_with(R"("listen": ":1", "users": [{"username": "a", "password": "b"}])") ==
              "accepted");
        CHECK(refusal_with(R"("listen": ":1", "open_listener": true)") == "accepted");
        CHECK(refusal_with(R"("listen": ["127.0.0.2:1", "[::1]:1", "localhost:1"])") == "accepted");
    }
    SECTION("and one that listens nowhere, too") {
        CHECK(refusal_with(R"("listen": [])") ==
              "listen: expected at least one address, found none.");
    }
}

TEST_CASE("what a client listens on besides ports") {
    const auto settings = with(R"("listen": ["unix:/run/a.sock", "unix:@b", "systemd:c",
        {"address": "127.0.0.1:1080", "accept": ["http", "socks4"]},
        {"address": "unix:/run/d.sock", "mode": "0660", "group": "users"}])");
    REQUIRE(settings.listen.size() == 5);
    CHECK(settings.listen[0].type == listen_address::kind::unix_path);
    CHECK(settings.listen[0].address.host == "/run/a.sock");
    CHECK(settings.listen[0].mode == 0600);
    CHECK(settings.listen[1].type == listen_address::kind::unix_abstract);
    CHECK(to_string(settings.listen[1]) == "unix:@b");
    CHECK(settings.listen[2].type == listen_address::kind::systemd);
    CHECK(settings.listen[3].accept == (accepted_protocols::http | accepted_protocols::socks4));
    CHECK(settings.listen[4].mode == 0660);
    CHECK(settings.listen[4].group == "users");

    const auto refused = [](const std::string& listen) {
        const auto sentence = refusal_with("\"listen\": " + listen);
        INFO(sentence);
        return contains(": expected an IP address with a port").match(sentence);
    };
    for (const std::string each :
         {R"("unix:run/a")", R"("unix:@")", R"("systemd:")", R"({"accept": ["http"]})",
          R"({"address": "127.0.0.1:1", "accept": []})",
          R"({"address": "127.0.0.1:1", "accept": ["ftp"]})",
          R"({"address": "127.0.0.1:1", "mode": "0600"})",
          R"({"address": "unix:/a", "mode": "0888"})", R"({"address": "unix:/a", "more": 1})"})
        CHECK(refused(each));
    CHECK(with(R"("users": [{"name": "a", "uid": 1000}])").users[0].uid == 1000u);
    CHECK(with(R"("pac": {"host": "a.example:1080"})").pac_host == "a.example:1080");
    CHECK(refusal_with(R"("pac": {"host": "a b"})") != "accepted");
}

TEST_CASE("a client's users") {
    SECTION("have a name and a password each") {
        CHECK(refusal_with(R"("users": [{"password": "b"}])") ==
              "users[0].name: this key is missing.");
        CHECK(refusal_with(R"("users": [{"name": "a"}])") ==
              "users[0].password: this key, \"password_file\" or \"uid\" is missing.");
    }
    SECTION("have names of their own") {
        CHECK(refusal_with(R"("users": [{"name": "a", "password": "b"},
                                        {"username": "a", "password": "c"}])") ==
              "users[1].name: this name stands there twice.");
    }
    SECTION("have one name, which is called username or name") {
        CHECK(refusal_with(R"("users": [{"username": "a", "password": "b"}])") == "accepted");
        CHECK(refusal_with(R"("users": [{"username": "a", "name": "a", "password": "b"}])") ==
              "users[0].username: this key and \"name\" are the same.");
        CHECK(refusal_with(R"("users": [{"username": "", "password": "b"}])")
                  .starts_with("users[0].username: expected "));
    }
    SECTION("have passwords of at most 255 bytes, as RFC 1929 can carry") {
        const auto user = [](std::size_t length) {
            return R"("users": [{"username": "a", "password": ")" + std::string(length, 'x') +
                   "\"}]";
        };
        CHECK(refusal_with(user(255)) == "accepted");
        CHECK(refusal_with(user(256)) == "users[0].password: a password has at most 255 bytes.");
    }
}

TEST_CASE("a client's proof of who it is") {
    SECTION("has a strong token") {
        CHECK_THAT(refusal_with(R"("auth": {"user": "a", "token": "secret"})"),
                   contains("auth.token: a token needs 128 random bits"));
    }
    SECTION("has both user and token") {
        CHECK(refusal_with(R"("auth": {"user": "a"})") ==
              "auth.token: this key or \"token_file\" is missing beside the user.");
        CHECK(refusal_with(R"("auth": {"token": ")" + token + "\"}") ==
              "auth.user: this key is missing beside the token.");
    }
    SECTION("may come in part from the command line") {
        command_line line;
        line.user = "bob";
        CHECK(load(R"({"server": "a.example:1", "auth": {"token": ")" + token + "\"}}", line)
                  .settings.auth.user == "bob");
    }
}

TEST_CASE("a client's TLS") {
    const test::temporary_folder folder;
    const std::string file = folder.write("a.pem", "x");
    SECTION("has a certificate with its key or neither") {
        CHECK(refusal_with(R"("tls": {"cert": ")" + file + "\"}") ==
              "tls.cert: \"key\" is missing beside it.");
        CHECK(refusal_with(R"("tls": {"key": ")" + file + "\"}") ==
              "tls.key: \"cert\" is missing beside it.");
    }
    SECTION("that is off brings a warning for each server elsewhere") {
        const auto loaded = load(R"({"tls": {"enabled": false}, "servers":
            [{"address": "127.0.0.1:1"}, {"address": "a.example:1"}, {"address": "b.example:1"}]})");
        REQUIRE(loaded.warnings.size() == 2);
        CHECK_THAT(loaded.warnings[0], contains("The link to a.example:1 is not encrypted"));
    }
    SECTION("that is off verifies nobody, and says so") {
        const auto loaded =
            load(R"({"server": "127.0.0.1:1", "tls": {"enabled": false, "ca": ")" + file + "\"}}");
        REQUIRE(loaded.warnings.size() == 1);
        CHECK_THAT(loaded.warnings[0], contains("The server is not verified"));
    }
}

TEST_CASE("keys of the server, and of what does not exist yet, are unknown to the client") {
    for (const char* keys : {R"("destinations": {})", R"("limits": {})", R"("open_server": true)",
                             R"("resume": {"sessions": 1})", R"("tls": {"client_ca": "x"})"}) {
        INFO(keys);
        CHECK_THAT(refusal_with(keys), contains("unknown key"));
    }
}

TEST_CASE("two configurations of a client") {
    SECTION("are equal when everything in them is") {
        CHECK(with("\"links\": 2") == with("\"links\": 2"));
    }
    SECTION("differ when anything in them does") {
        for (const char* keys :
             {R"("sessions": 3)", R"("tls": {"server_name": "x"})", R"("log": {"level": "error"})",
              R"("users": [{"username": "a", "password": "b"}])",
              R"("timeouts": {"idle": "1s"})"}) {
            INFO(keys);
            CHECK(with(keys) != with("\"links\": 2"));
        }
    }
}
