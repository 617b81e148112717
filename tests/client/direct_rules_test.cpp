#include "client/direct_rules.hpp"

#include "tests/catch.hpp"

namespace muxsocks::client {
namespace {

using socks5::address;

std::vector<direct_rule> rules_of(std::initializer_list<const char*> texts) {
    std::vector<direct_rule> rules;
    for (const auto* text : texts) {
        const auto rule = parse_direct_rule(text);
        INFO(text);
        REQUIRE(rule.has_value());
        rules.push_back(*rule);
    }
    return rules;
}

bool direct(const std::vector<direct_rule>& rules, const char* name, std::uint16_t port = 80) {
    return goes_direct(rules, address::from_domain(name, port));
}

bool direct(const std::vector<direct_rule>& rules, std::array<std::uint8_t, 4> ip,
            std::uint16_t port = 80) {
    return goes_direct(rules, address::from_ipv4(ip, port));
}

} // namespace

TEST_CASE("what `direct` names") {
    SECTION("a network, by addresses as the application wrote them") {
        const auto rules = rules_of({"10.0.0.0/8", "2001:db8::/32"});
        CHECK(direct(rules, {10, 1, 2, 3}));
        CHECK_FALSE(direct(rules, {11, 1, 2, 3}));
        CHECK(goes_direct(rules, address::from_ipv6({0x20, 0x01, 0x0d, 0xb8}, 80)));
        CHECK_FALSE(goes_direct(rules, address::from_ipv6({0x20, 0x01, 0x0d, 0xb9}, 80)));
    }
    SECTION("an address in whatever spelling, also as a name and as IPv4 within IPv6") {
        const auto rules = rules_of({"10.0.0.0/8"});
        for (const auto* spelt : {"10.1.2.3", "10.1", "0x0a000001", "::ffff:10.1.2.3"}) {
            INFO(spelt);
            CHECK(direct(rules, spelt));
        }
        CHECK(goes_direct(rules, address::from_ipv6(
                                     {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3}, 80)));
        CHECK_FALSE(direct(rules, "10.example.org"));
    }
    SECTION("one name alone") {
        const auto rules = rules_of({"host.Example.org"});
        CHECK(direct(rules, "host.example.org"));
        CHECK(direct(rules, "HOST.example.ORG."));
        CHECK_FALSE(direct(rules, "a.host.example.org"));
        CHECK_FALSE(direct(rules, "ahost.example.org"));
    }
    SECTION("a name and all below it") {
        const auto rules = rules_of({"*.lan"});
        CHECK(direct(rules, "printer.lan"));
        CHECK(direct(rules, "a.b.LAN."));
        CHECK(direct(rules, "lan"));
        CHECK_FALSE(direct(rules, "plan"));
        CHECK_FALSE(direct(rules, "lan.example.org"));
    }
    SECTION("ports") {
        const auto rules =
            rules_of({"host.example.org:22", "10.0.0.0/8:8000-8002", "[2001:db8::1]:443", "*:25"});
        CHECK(direct(rules, "host.example.org", 22));
        CHECK_FALSE(direct(rules, "host.example.org", 80));
        CHECK(direct(rules, {10, 0, 0, 1}, 8002));
        CHECK_FALSE(direct(rules, {10, 0, 0, 1}, 8003));
        CHECK(direct(rules, "2001:db8::1", 443));
        CHECK_FALSE(direct(rules, "2001:db8::1", 80));
        CHECK(direct(rules, "anything.example", 25));
        CHECK(direct(rules, {192, 0, 2, 1}, 25));
    }
    SECTION("nothing") { CHECK_FALSE(direct({}, "localhost")); }
}

TEST_CASE("the texts of `direct`") {
    SECTION("are written as they were read") {
        for (const auto* text :
             {"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "[2001:db8::/32]:80", "*.lan", "lan",
              "host.example.org:22", "*:1000-2000", "10.0.0.0/8:80"}) {
            const auto rule = parse_direct_rule(text);
            INFO(text);
            REQUIRE(rule.has_value());
            CHECK(to_string(*rule) == text);
        }
    }
    SECTION("that name nothing are refused") {
        for (const auto* text :
             {"",           "*",          ":80",       "*.",           "*.*",
              "a b",        "10.0.0.1/8", "host:",     "host:0",       "host:70000",
              "host:2-1",   "host:a",     "[host]:80", "[2001:db8::1", "[2001:db8::1]80",
              "a*.example", "*.10.0.0.1", "300.1.2.3", "http://host",  "user@host"}) {
            INFO(text);
            CHECK_FALSE(parse_direct_rule(text).has_value());
        }
    }
}

TEST_CASE("what shells are told of `direct`") {
    CHECK(no_proxy_words(rules_of({"10.0.0.0/8", "*.lan"})) == ",10.0.0.0/8,.lan");
    // no_proxy would read more into these.
    CHECK(no_proxy_words(rules_of({"example.org", "*:22", "10.0.0.0/8:80"})).empty());
}

} // namespace muxsocks::client
