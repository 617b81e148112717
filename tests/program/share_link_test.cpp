#include "protocol/program/share_link.hpp"

#include "protocol/program/config_error.hpp"

#include "tests/catch.hpp"

#include <nlohmann/json.hpp>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

/// The sentence with which a link is refused; empty if it is not.
std::string refusal(const std::string& text) {
    try {
        (void)parse_share_link(text);
        return {};
    } catch (const config_error& error) {
        return error.what();
    }
}

} // namespace

TEST_CASE("a share link") {
    share_link link;
    link.user = "me";
    link.token = "t0ken_-~.";
    link.server = {"server.example.org", 8443};
    SECTION("is one line with everything in it") {
        link.pins = {"sha256:q+/="};
        link.name = "at home";
        CHECK(to_string(link) ==
              "muxsocks://me:t0ken_-~.@server.example.org:8443?pin=sha256%3Aq%2B%2F%3D#at%20home");
    }
    SECTION("needs neither pins nor a name") {
        CHECK(to_string(link) == "muxsocks://me:t0ken_-~.@server.example.org:8443");
    }
    SECTION("comes back as it went, whatever is in it") {
        link.user = "a:b@c/d?e#f%20 \xc3\xa4";
        link.token = "x:y@z?#&=%";
        link.server.host = GENERATE(as<std::string>(), "example.org", "192.0.2.1", "2001:db8::1");
        link.pins = {"sha256:AAA+/=", "sha256:BBB"};
        link.name = "#&?=\n";
        const auto back = parse_share_link("  " + to_string(link) + "\r\n");
        CHECK(back.user == link.user);
        CHECK(back.token == link.token);
        CHECK(back.server == link.server);
        CHECK(back.pins == link.pins);
        CHECK(back.name == link.name);
    }
}

TEST_CASE("a share link that is wrong is refused with a sentence") {
    CHECK_THAT(refusal(" \n"), contains("empty"));
    CHECK_THAT(refusal("https://a:b@c:1"), contains("must begin with muxsocks://"));
    CHECK_THAT(refusal("muxsocks://example.org:8443"), contains("no \"@\""));
    CHECK_THAT(refusal("muxsocks://me@example.org:8443"), contains("a user and a token"));
    CHECK_THAT(refusal("muxsocks://:t@example.org:8443"), contains("a user and a token"));
    CHECK_THAT(refusal("muxsocks://me:t@example.org"), contains("no port"));
    CHECK_THAT(refusal("muxsocks://me:t@example.org:0"), contains("port"));
    CHECK_THAT(refusal("muxsocks://me:t@example.org:65536"), contains("port"));
    CHECK_THAT(refusal("muxsocks://me:t@:8443"), contains("no host"));
    CHECK_THAT(refusal("muxsocks://me:t%2@example.org:1"), contains("two hexadecimal digits"));
    CHECK_THAT(refusal("muxsocks://me:t@example.org:1?colour=red"), contains("\"colour\""));
}

TEST_CASE("a share link is found in what is around it") {
    const auto link = GENERATE(as<std::string>(), "muxsocks://me:tok@example.org:443?pin=AAA#home",
                               "muxsocks://me:tok@[2001:db8::1]:443");
    const auto found = [&](const std::string& text) {
        CAPTURE(text);
        CHECK(refusal(text).empty());
        return to_string(parse_share_link(text)) == link;
    };
    CHECK(found("<" + link + ">"));
    CHECK(found("(" + link + ")."));
    CHECK(found("[" + link + "]\n"));
    CHECK(found("{" + link + "}"));
    CHECK(found("\"" + link + "\","));
    CHECK(found("'" + link + "'"));
    CHECK(found("`" + link + "`"));
    CHECK(found("> " + link + "\r\n> see you"));
    CHECK(found("Link: " + link + " (again: " + link + ")"));
    CHECK(found("user me added; a server that runs with server.json takes the change with SIGHUP "
                "(systemctl reload muxsocks-server)\n\nThe share link for its client (it is a "
                "secret):\n\n   " +
                link + "\n\nThis token is shown once:\ntok\n"));
    CHECK_THAT(refusal(link + "\nmuxsocks://you:tok@example.org:443"), contains("more than one"));
}

TEST_CASE("no refusal of a share link shows its token") {
    for (const auto text : {"muxsocks://me:SECRET@example.org", "muxsocks://me:SECRET@:1",
                            "muxsocks://:SECRET@example.org:1", "muxsocks://SECRET@example.org:1",
                            "muxsocks://me:SECRET%zz@example.org:1", "MUXSOCKS://me:SECRET@a:1",
                            "muxsocks://me:SECRET", "<muxsocks://me:SECRET>",
                            "muxsocks://a:SECRET@a:1 muxsocks://b:SECRET@a:1"}) {
        const auto said = refusal(text);
        CAPTURE(text, said);
        CHECK_FALSE(said.empty());
        CHECK(said.find("SECRET") == std::string::npos);
    }
}

TEST_CASE("the client.json of a share link") {
    const auto link = parse_share_link("muxsocks://me:tok%22en@[2001:db8::1]:443?pin=AAA#x");
    const auto written = nlohmann::json::parse(client_config_text(link));
    CHECK(written == nlohmann::json({{"server", "[2001:db8::1]:443"},
                                     {"auth", {{"user", "me"}, {"token", "tok\"en"}}},
                                     {"tls", {{"pin_sha256", {"AAA"}}}}}));
    const auto back = read_client_config(client_config_text(link));
    REQUIRE(back);
    CHECK(back->servers == std::vector{link.server});
    CHECK(back->link.server == link.server);
    CHECK(back->link.user == link.user);
    CHECK(back->link.token == link.token);
    CHECK(back->link.pins == link.pins);
    const auto open = nlohmann::json::parse(client_config_text(link, ":1080", true));
    CHECK(open["listen"] == ":1080");
    CHECK(open["open_listener"] == true);
}

TEST_CASE("a client.json that no link can stand for") {
    for (const auto text : {
             "{",
             "[]",
             R"({"auth": {"user": "me", "token": "t"}})",
             R"({"server": "a:1"})",
             R"({"server": "a:1", "auth": {"user": "me", "token_file": "t"}})",
             R"({"server": "a:1", "auth": {"user": "me", "token": "${TOKEN}"}})",
             R"({"server": "a", "auth": {"user": "me", "token": "t"}})",
         }) {
        CAPTURE(text);
        CHECK_FALSE(read_client_config(text));
    }
}

TEST_CASE("where a wrong link stands is said") {
    CHECK_THROWS_WITH(parse_share_link("", "$MUXSOCKS_LINK"),
                      "$MUXSOCKS_LINK: the share link is empty");
    CHECK_THROWS_WITH(
        read_link_file("/nonexistent/link"),
        contains("Cannot read the share link file \"/nonexistent/link\": No such file"));
}
