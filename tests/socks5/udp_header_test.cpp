#include "socks5/udp_header.hpp"

#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"

using muxsocks::tests::hex;
using namespace muxsocks::socks5;

TEST_CASE("the header of a datagram") {
    SECTION("names an IPv4 address, and the datagram follows it") {
        const auto found = parse_udp_header(hex("00 00 00 01 c0 00 02 01 00 35 68 69"));
        REQUIRE(found);
        CHECK(found->dst == address::from_ipv4({192, 0, 2, 1}, 53));
        CHECK(found->size == 10);
    }
    SECTION("names a host, and the datagram may be empty") {
        const auto found = parse_udp_header(hex("00 00 00 03 01 61 00 35"));
        REQUIRE(found);
        CHECK(found->dst == address::from_domain("a", 53));
        CHECK(found->size == 8);
    }
    SECTION("names an IPv6 address") {
        const auto found = parse_udp_header(
            hex("00 00 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 35"));
        REQUIRE(found);
        CHECK(found->dst.type == address::kind::ipv6);
    }
    SECTION("is refused") {
        const auto text = GENERATE("", "00 00", "00 00 00", // Cut off.
                                   "00 00 00 01 c0 00 02 01 00", "00 00 00 03 05 61 00 35",
                                   "00 01 00 01 c0 00 02 01 00 35",     // RSV
                                   "00 00 01 01 c0 00 02 01 00 35",     // FRAG
                                   "00 00 80 01 c0 00 02 01 00 35",     // The last fragment.
                                   "00 00 00 02 c0 00 02 01 00 35",     // ATYP
                                   "00 00 00 03 00 00 35",              // No name.
                                   "00 00 00 03 01 0a 00 35",           // A control character.
                                   "00 00 00 01 c0 00 02 01 00 00 68"); // Port 0.
        CAPTURE(text);
        CHECK_FALSE(parse_udp_header(hex(text)));
    }
}
