#include "socks5/address.hpp"

#include "socks5/error.hpp"
#include "tests/catch.hpp"
#include "tests/socks5/feed.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/seed.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <random>
#include <string>

namespace socks5 = muxsocks::socks5;
using muxsocks::tests::hex;
using muxsocks::tests::require_parsed;
using muxsocks::tests::require_refused;
using muxsocks::tests::require_stable_verdicts;
using muxsocks::tests::test_seed;
using muxsocks::tests::to_hex;
using socks5::address;
using socks5::errc;

namespace {

std::string encoded(const address& value) {
    std::vector<std::uint8_t> out;
    socks5::append(out, value);
    return to_hex(out);
}

address parsed(std::string_view text) { return require_parsed(socks5::parse_address, hex(text)); }

address ipv6(std::string_view text, std::uint16_t port) {
    const auto bytes = hex(text);
    std::array<std::uint8_t, 16> ip{};
    REQUIRE(bytes.size() == ip.size());
    std::copy(bytes.begin(), bytes.end(), ip.begin());
    return address::from_ipv6(ip, port);
}

} // namespace

TEST_CASE("an address on the wire") {
    SECTION("IPv4") {
        const auto wire = "01 "          // ATYP
                          "c0 00 02 01 " // 192.0.2.1
                          "00 50";       // port 80
        const auto value = address::from_ipv4({192, 0, 2, 1}, 80);
        CHECK(parsed(wire) == value);
        CHECK(encoded(value) == wire);
    }
    SECTION("domain name") {
        const auto wire = "03 "                               // ATYP
                          "0b "                               // length 11
                          "65 78 61 6d 70 6c 65 2e 6f 72 67 " // example.org
                          "01 bb";                            // port 443
        const auto value = address::from_domain("example.org", 443);
        CHECK(parsed(wire) == value);
        CHECK(encoded(value) == wire);
    }
    SECTION("IPv6") {
        const auto wire = "04 "                      // ATYP
                          "20 01 0d b8 00 00 00 00 " // 2001:db8::1
                          "00 00 00 00 00 00 00 01 " //
                          "ff ff";                   // port 65535
        const auto value = ipv6("20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01", 65535);
        CHECK(parsed(wire) == value);
        CHECK(encoded(value) == wire);
    }
    SECTION("a name of one byte and one of 255") {
        for (const std::size_t length : {1u, 255u}) {
            const auto value = address::from_domain(std::string(length, 'n'), 1);
            std::vector<std::uint8_t> wire;
            socks5::append(wire, value);
            CHECK(wire.size() == 4 + length);
            CHECK(require_parsed(socks5::parse_address, wire) == value);
        }
    }
    SECTION("the longest has address_bytes_max bytes") {
        std::vector<std::uint8_t> wire;
        socks5::append(wire, address::from_domain(std::string(255, 'n'), 1));
        CHECK(wire.size() == socks5::address_bytes_max);
    }
    SECTION("is written behind what is there") {
        std::vector<std::uint8_t> out{0xaa};
        socks5::append(out, address::from_ipv4({1, 2, 3, 4}, 5));
        CHECK(to_hex(out) == "aa 01 01 02 03 04 00 05");
    }
    SECTION("verdicts stay") {
        for (const std::uint8_t type : hex("01 03 04"))
            require_stable_verdicts(socks5::parse_address, type, test_seed());
    }
}

TEST_CASE("a wrong address is refused at its first wrong byte") {
    SECTION("every unknown type") {
        for (int type = 0; type < 256; ++type) {
            if (type == 1 || type == 3 || type == 4) continue;
            const std::uint8_t bytes[]{static_cast<std::uint8_t>(type)};
            require_refused(socks5::parse_address, bytes, errc::address_type_not_supported);
        }
    }
    SECTION("a name without a byte") {
        require_refused(socks5::parse_address, hex("03 00"), errc::empty_domain);
    }
    SECTION("control characters in a name") {
        for (int byte = 0; byte < 256; ++byte) {
            const bool control = byte < 0x20 || byte == 0x7f;
            auto bytes = hex("03 05 61 62");
            bytes.push_back(static_cast<std::uint8_t>(byte));
            const auto result = socks5::parse_address(bytes);
            INFO("byte " << byte);
            CHECK((result.status == socks5::parse_status::failed) == control);
            if (control) CHECK(result.error == errc::invalid_domain);
        }
    }
    SECTION("NUL as the last byte of a name") {
        require_refused(socks5::parse_address, hex("03 03 61 62 00"), errc::invalid_domain);
    }
}

TEST_CASE("check_domain") {
    CHECK_FALSE(socks5::check_domain("example.org"));
    CHECK_FALSE(socks5::check_domain(std::string(255, 'n')));
    CHECK(socks5::check_domain("") == errc::empty_domain);
    CHECK(socks5::check_domain(std::string(256, 'n')) == errc::invalid_domain);
    CHECK(socks5::check_domain("a\nb") == errc::invalid_domain);
    CHECK(socks5::check_domain(std::string_view{"a\0b", 3}) == errc::invalid_domain);
}

TEST_CASE("addresses are equal") {
    const auto a = address::from_ipv4({1, 2, 3, 4}, 80);
    SECTION("when type, bytes and port are") {
        CHECK(a == address::from_ipv4({1, 2, 3, 4}, 80));
        CHECK_FALSE(a == address::from_ipv4({1, 2, 3, 5}, 80));
        CHECK_FALSE(a == address::from_ipv4({1, 2, 3, 4}, 81));
        CHECK_FALSE(a == address::from_domain("1.2.3.4", 80));
        CHECK_FALSE(address::from_domain("a.example", 80) == address::from_domain("b.example", 80));
    }
    SECTION("whatever stands where the type has no bytes") {
        auto b = a;
        b.ip[4] = 0xff;
        b.domain = "left over";
        CHECK(a == b);
    }
    SECTION("in all 16 bytes of IPv6") {
        const auto x = ipv6("00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01", 80);
        const auto y = ipv6("00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02", 80);
        CHECK_FALSE(x == y);
    }
    SECTION("by default to 0.0.0.0:0") { CHECK(address{} == address::from_ipv4({0, 0, 0, 0}, 0)); }
}

TEST_CASE("the text of an address") {
    SECTION("IPv4") {
        CHECK(to_string(address::from_ipv4({1, 2, 3, 4}, 80)) == "1.2.3.4:80");
        CHECK(to_string(address::from_ipv4({255, 255, 255, 255}, 65535)) ==
              "255.255.255.255:65535");
        CHECK(to_string(address{}) == "0.0.0.0:0");
    }
    SECTION("IPv6, as RFC 5952 has it") {
        const auto text = [](std::string_view bytes) { return to_string(ipv6(bytes, 80)); };
        CHECK(text("00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01") == "[::1]:80");
        CHECK(text("00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00") == "[::]:80");
        CHECK(text("20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 00") == "[2001:db8::]:80");
        // One group of zeros is not shortened (section 4.2.2).
        CHECK(text("20 01 0d b8 00 00 00 01 00 01 00 01 00 01 00 01") ==
              "[2001:db8:0:1:1:1:1:1]:80");
        // The longest run is (4.2.3), the first of equals.
        CHECK(text("20 01 00 00 00 00 00 01 00 00 00 00 00 00 00 01") == "[2001:0:0:1::1]:80");
        CHECK(text("20 01 0d b8 00 00 00 00 00 01 00 00 00 00 00 01") == "[2001:db8::1:0:0:1]:80");
        // IPv4-mapped with dots (section 5).
        CHECK(text("00 00 00 00 00 00 00 00 00 00 ff ff c0 00 02 01") == "[::ffff:192.0.2.1]:80");
    }
    SECTION("IPv6, as the C library has it") {
        std::mt19937 random{test_seed()};
        for (int round = 0; round < 5'000; ++round) {
            std::array<std::uint8_t, 16> ip{};
            for (std::size_t i = 0; i < ip.size(); i += 2)
                if (random() % 2 == 0)
                    ip[i] = static_cast<std::uint8_t>(random() % 3),
                    ip[i + 1] = static_cast<std::uint8_t>(random());
            // The library writes ::/96 with dots, after a notation that RFC 4291 has given up.
            ip[0] |= 0x10;
            char expected[INET6_ADDRSTRLEN];
            REQUIRE(inet_ntop(AF_INET6, ip.data(), expected, sizeof expected) != nullptr);
            INFO("seed " << test_seed() << ", round " << round);
            REQUIRE(to_string(address::from_ipv6(ip, 1)) == "[" + std::string{expected} + "]:1");
        }
    }
    SECTION("a name") { CHECK(to_string(address::from_domain("a.example", 80)) == "a.example:80"); }
    SECTION("a name with a colon stands in brackets") {
        CHECK(to_string(address::from_domain("::1", 80)) == "[::1]:80");
    }
    SECTION("a name cannot bring anything unprintable into a log") {
        CHECK(to_string(address::from_domain("m\xc3\xbcnchen.example", 80)) ==
              "m\\xc3\\xbcnchen.example:80");
        CHECK(to_string(address::from_domain("a b\\x", 80)) == "a\\x20b\\x5cx:80");
    }
}
