#include "protocol/program/network.hpp"

#include "tests/catch.hpp"

#include <arpa/inet.h>

using namespace muxsocks;

namespace {

std::vector<std::uint8_t> ip(const char* text) {
    std::vector<std::uint8_t> bytes(4);
    if (inet_pton(AF_INET, text, bytes.data()) == 1) return bytes;
    bytes.resize(16);
    REQUIRE(inet_pton(AF_INET6, text, bytes.data()) == 1);
    return bytes;
}

bool in(const char* block, const char* address) {
    const auto parsed = parse_network(block);
    REQUIRE(parsed);
    return parsed->contains(ip(address));
}

std::string round_trip(const char* text) {
    const auto parsed = parse_network(text);
    return parsed ? to_string(*parsed) : "nothing";
}

} // namespace

TEST_CASE("a network contains") {
    SECTION("what agrees with it in all bits of its prefix") {
        CHECK(in("10.0.0.0/8", "10.255.255.255"));
        CHECK(in("192.168.4.0/22", "192.168.7.255"));
        CHECK(in("2001:db8::/33", "2001:db8:7fff::1"));
        CHECK(in("192.0.2.7", "192.0.2.7"));
        CHECK(in("::1", "::1"));
    }
    SECTION("nothing that differs in one of them") {
        CHECK_FALSE(in("10.0.0.0/8", "11.0.0.0"));
        CHECK_FALSE(in("192.168.4.0/22", "192.168.8.0"));
        CHECK_FALSE(in("2001:db8::/33", "2001:db8:8000::1"));
        CHECK_FALSE(in("192.0.2.7", "192.0.2.6"));
        CHECK_FALSE(in("::1", "::"));
    }
    SECTION("every address of its family and none of the other at prefix 0") {
        CHECK(in("0.0.0.0/0", "203.0.113.9"));
        CHECK(in("::/0", "2001:db8::1"));
        CHECK_FALSE(in("0.0.0.0/0", "2001:db8::1"));
        CHECK_FALSE(in("::/0", "203.0.113.9"));
    }
    SECTION("an IPv4-mapped address as the IPv4 address that it is") {
        CHECK(in("10.0.0.0/8", "::ffff:10.1.2.3"));
        CHECK_FALSE(in("10.0.0.0/8", "::ffff:11.1.2.3"));
        CHECK(in("::ffff:10.0.0.0/104", "10.1.2.3"));
        CHECK_FALSE(in("::/0", "::ffff:10.1.2.3"));
    }
    SECTION("nothing of a length that no address has") {
        const std::vector<std::uint8_t> five(5);
        CHECK_FALSE(parse_network("0.0.0.0/0")->contains(five));
        CHECK_FALSE(parse_network("::/0")->contains({}));
    }
}

TEST_CASE("the text of a network") {
    SECTION("is read and written in canonical form") {
        CHECK(round_trip("10.0.0.0/8") == "10.0.0.0/8");
        CHECK(round_trip("192.0.2.7/32") == "192.0.2.7");
        CHECK(round_trip("2001:0DB8::/32") == "2001:db8::/32");
        CHECK(round_trip("::1") == "::1");
        CHECK(round_trip("::/0") == "::/0");
        CHECK(round_trip("::ffff:10.0.0.0/104") == "10.0.0.0/8");
        CHECK(round_trip("::ffff:192.0.2.1") == "192.0.2.1");
    }
    SECTION("is refused when it is none") {
        for (const char* text :
             {"", "/", "10/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8 ", "::/129",
              "10.0.0.0/08", "10.0.0.0/8/8", "example.org", "010.0.0.1", "fe80::1%eth0", "1.2.3",
              "10.0.0.0/256", "[::1]"}) {
            INFO(text);
            CHECK(round_trip(text) == "nothing");
            CHECK_FALSE(parse_network_loosely(text));
        }
    }
    SECTION("is refused with bits beyond the prefix, and the loose reading says what was meant") {
        CHECK(round_trip("10.0.0.1/8") == "nothing");
        CHECK(to_string(*parse_network_loosely("10.0.0.1/8")) == "10.0.0.0/8");
        CHECK(round_trip("2001:db8::1/64") == "nothing");
        CHECK(to_string(*parse_network_loosely("2001:db8::1/63")) == "2001:db8::/63");
        CHECK(round_trip("::ffff:10.0.0.1/104") == "nothing");
    }
}

TEST_CASE("a list of networks contains what one of them contains") {
    const std::vector<network> list{*parse_network("10.0.0.0/8"), *parse_network("::1")};
    CHECK(contains(list, ip("10.9.9.9")));
    CHECK(contains(list, ip("::1")));
    CHECK_FALSE(contains(list, ip("192.0.2.1")));
    CHECK_FALSE(contains({}, ip("10.9.9.9")));
}
