#include "http/authority.hpp"

#include "http/basic_credentials.hpp"
#include "tests/catch.hpp"

using namespace muxsocks::http;

namespace {

/// "host port", or "refused".
std::string read(std::string_view text, std::uint16_t usual = 0) {
    const auto parsed = parse_authority(text, usual);
    if (!parsed) return "refused";
    return std::string(parsed->host) + " " + std::to_string(parsed->port);
}

std::string login(std::string_view value) {
    const auto parsed = parse_basic(value);
    return parsed ? parsed->user + " " + parsed->password : "refused";
}

} // namespace

TEST_CASE("host and port") {
    CHECK(read("example.org:443") == "example.org 443");
    CHECK(read("[2001:db8::1]:443") == "2001:db8::1 443");
    CHECK(read("192.0.2.1:1") == "192.0.2.1 1");
    CHECK(read("example.org", 80) == "example.org 80");
    CHECK(read("example.org:", 80) == "example.org 80");
    CHECK(read("[::1]", 80) == "::1 80");
    CHECK(parse_authority("[::1]:80", 80)->text(80) == "[::1]");
    CHECK(parse_authority("a:81", 80)->text(80) == "a:81");

    for (const std::string text :
         {"example.org", "example.org:", ":443", "a:0", "a:65536", "a:+1", "a:1x", "u@a:1", "a b:1",
          "2001:db8::1", "[::1", "[fe80::1%eth0]:1", "[x]:1", "[]:1", "a:1:2", "a/b:1", "[::1]x:1"})
        CHECK(read(text) == "refused");
    CHECK(read(std::string(256, 'a') + ":1") == "refused");
}

TEST_CASE("absolute targets") {
    const auto whole = parse_absolute("HTTP://a:81/b/c?d");
    REQUIRE(whole);
    CHECK(whole->scheme == "HTTP");
    CHECK(whole->authority == "a:81");
    CHECK(whole->rest == "/b/c?d");
    CHECK(parse_absolute("http://a?x")->rest == "?x");
    CHECK(parse_absolute("http://a")->rest.empty());
    CHECK_FALSE(parse_absolute("/a"));
    CHECK_FALSE(parse_absolute("a:443"));
    CHECK_FALSE(parse_absolute("://a"));
}

TEST_CASE("Basic credentials") {
    CHECK(login("Basic YWxpY2U6c2VjcmV0") == "alice secret");
    CHECK(login("basic  YTpiOmM=") == "a b:c");
    CHECK(login("Basic YTpiOmM") == "a b:c");
    CHECK(login("Basic Og==") == " ");
    CHECK(login("Basic YWxpY2U=") == "refused");
    CHECK(login("Basic Y!==") == "refused");
    CHECK(login("Basic") == "refused");
    CHECK(login("Bearer YWxpY2U6c2VjcmV0") == "refused");
}
