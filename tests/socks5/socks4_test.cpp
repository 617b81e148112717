#include "socks5/socks4.hpp"

#include "socks5/error.hpp"
#include "tests/catch.hpp"
#include "tests/socks5/feed.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/seed.hpp"

namespace socks4 = muxsocks::socks4;
namespace socks5 = muxsocks::socks5;
using muxsocks::tests::hex;
using muxsocks::tests::require_parsed;
using muxsocks::tests::require_refused;
using muxsocks::tests::require_stable_verdicts;
using muxsocks::tests::to_hex;

namespace {

std::vector<std::uint8_t> with_text(std::vector<std::uint8_t> bytes, const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back(0);
    return bytes;
}

} // namespace

TEST_CASE("a SOCKS4 request") {
    SECTION("names an address") {
        const auto parsed =
            require_parsed(socks4::parse_request, hex("04 01 01bb c0000201 61 6e 00"));
        CHECK(parsed.cd == socks4::command::connect);
        CHECK(parsed.dst == socks5::address::from_ipv4({192, 0, 2, 1}, 443));
    }
    SECTION("names a host in 4A") {
        const auto bytes = with_text(hex("04 01 0050 00000001 00"), "example.org");
        CHECK(require_parsed(socks4::parse_request, bytes).dst ==
              socks5::address::from_domain("example.org", 80));
    }
    SECTION("may ask for BIND") {
        CHECK(require_parsed(socks4::parse_request, hex("04 02 0050 c0000201 00")).cd ==
              socks4::command::bind);
    }
    SECTION("takes 0.0.0.0 for an address") {
        CHECK(require_parsed(socks4::parse_request, hex("04 01 0050 00000000 00")).dst ==
              socks5::address::from_ipv4({0, 0, 0, 0}, 80));
    }
    SECTION("has texts of 255 bytes at most") {
        const auto user = with_text(hex("04 01 0050 c0000201"), std::string(255, 'a'));
        (void)require_parsed(socks4::parse_request, user);
        auto longer = hex("04 01 0050 c0000201");
        longer.resize(longer.size() + 256, 'a');
        (void)require_refused(socks4::parse_request, longer, socks5::errc::credential_length);
        auto name = hex("04 01 0050 00000001 00");
        name.resize(name.size() + 256, 'a');
        (void)require_refused(socks4::parse_request, name, socks5::errc::invalid_domain);
    }
    SECTION("is refused for another version, command, or name") {
        (void)require_refused(socks4::parse_request, hex("05"), socks5::errc::not_socks5);
        (void)require_refused(socks4::parse_request, hex("04 03"),
                              socks5::errc::command_not_supported);
        (void)require_refused(socks4::parse_request, hex("04 01 0050 00000001 00 00"),
                              socks5::errc::empty_domain);
        (void)require_refused(socks4::parse_request, hex("04 01 0050 00000001 00 61 0a 00"),
                              socks5::errc::invalid_domain);
    }
    SECTION("is judged the same whatever follows") {
        require_stable_verdicts(socks4::parse_request, 0x04, muxsocks::tests::test_seed());
    }
}

TEST_CASE("a SOCKS4 answer") {
    CHECK(to_hex(socks4::encode(socks4::result::granted,
                                socks5::address::from_ipv4({192, 0, 2, 1}, 443))) ==
          "00 5a 01 bb c0 00 02 01");
    CHECK(to_hex(socks4::encode(socks4::result::granted,
                                socks5::address::from_ipv6({0x20, 1}, 443))) ==
          "00 5a 00 00 00 00 00 00");
    CHECK(to_hex(socks4::encode(socks4::result::not_identified)) == "00 5d 00 00 00 00 00 00");
}
