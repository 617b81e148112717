#include "socks5/message.hpp"

#include "socks5/error.hpp"
#include "tests/catch.hpp"
#include "tests/socks5/feed.hpp"
#include "tests/vectors/hex.hpp"
#include "tests/vectors/seed.hpp"

#include <string>

namespace socks5 = muxsocks::socks5;
using muxsocks::tests::hex;
using muxsocks::tests::require_parsed;
using muxsocks::tests::require_refused;
using muxsocks::tests::require_stable_verdicts;
using muxsocks::tests::test_seed;
using muxsocks::tests::to_hex;
using socks5::address;
using socks5::auth_method;
using socks5::command;
using socks5::errc;
using socks5::parse_status;

namespace {

/// For the messages that are views of the bytes: these must live.
template <typename Parser>
auto parsed(Parser parse, const std::vector<std::uint8_t>& bytes) {
    return require_parsed(parse, bytes);
}

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

const address documentation_ipv6 =
    address::from_ipv6({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01}, 8080);

} // namespace

TEST_CASE("a greeting") {
    SECTION("with one method") {
        const auto wire = hex("05 "  // VER
                              "01 "  // NMETHODS
                              "00"); // METHODS: none
        const auto message = parsed(socks5::parse_greeting, wire);
        CHECK(message.offers(auth_method::none));
        CHECK_FALSE(message.offers(auth_method::password));
        CHECK(to_hex(encode(message)) == to_hex(wire));
    }
    SECTION("with three") {
        const auto wire = hex("05 "        // VER
                              "03 "        // NMETHODS
                              "00 01 02"); // METHODS: none, GSSAPI, password
        const auto message = parsed(socks5::parse_greeting, wire);
        CHECK(message.offers(auth_method::none));
        CHECK(message.offers(auth_method::gssapi));
        CHECK(message.offers(auth_method::password));
        CHECK(to_hex(encode(message)) == to_hex(wire));
    }
    SECTION("with 255") {
        auto wire = hex("05 ff");
        for (int method = 0; method < 255; ++method)
            wire.push_back(static_cast<std::uint8_t>(method));
        const auto message = parsed(socks5::parse_greeting, wire);
        CHECK(message.methods.size() == 255);
        CHECK_FALSE(message.offers(auth_method::no_acceptable));
        CHECK(encode(message) == wire);
    }
    SECTION("with none offers none") {
        const auto wire = hex("05 00");
        CHECK_FALSE(parsed(socks5::parse_greeting, wire).offers(auth_method::none));
    }
    SECTION("keeps its verdicts") {
        require_stable_verdicts(socks5::parse_greeting, 0x05, test_seed());
    }
}

TEST_CASE("what is not SOCKS5 is named at its first byte") {
    const auto refused = [](std::string_view text) {
        const auto bytes = bytes_of(text);
        const auto first = socks5::parse_greeting(std::span{bytes}.first(1));
        CHECK(first.status == parse_status::failed);
        const auto whole = socks5::parse_greeting(bytes);
        CHECK(whole.status == parse_status::failed);
        return whole.error;
    };
    SECTION("SOCKS4") {
        require_refused(socks5::parse_greeting, hex("04"), errc::socks4_request);
        CHECK(refused(std::string_view{"\x04\x01\x00\x50\xc0\x00\x02\x01\x00", 9}) ==
              errc::socks4_request);
    }
    SECTION("TLS") {
        CHECK(refused(std::string_view{"\x16\x03\x01\x02\x00", 5}) == errc::tls_client_hello);
    }
    SECTION("HTTP, by every method and from its first letter on") {
        for (const std::string_view request :
             {"GET http://example.org/ HTTP/1.1\r\n", "POST / HTTP/1.1\r\n",
              "CONNECT example.org:443 HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n", "PUT / HTTP/1.1\r\n",
              "OPTIONS * HTTP/1.1\r\n", "DELETE / HTTP/1.1\r\n", "PATCH / HTTP/1.1\r\n",
              "TRACE / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\n"}) {
            for (std::size_t size = 1; size <= request.size(); ++size) {
                INFO(request.substr(0, size));
                CHECK(refused(request.substr(0, size)) == errc::http_request);
            }
        }
    }
    SECTION("anything else") {
        CHECK(refused("SSH-2.0-OpenSSH_9.2\r\n") == errc::not_socks5);
        CHECK(refused("GETTING") == errc::not_socks5);
        CHECK(refused("get / HTTP/1.1") == errc::not_socks5);
        CHECK(refused("\x06") == errc::not_socks5);
        CHECK(refused(std::string_view{"\0", 1}) == errc::not_socks5);
    }
}

TEST_CASE("a method selection") {
    const auto round_trip = [](const std::vector<std::uint8_t>& wire) {
        const auto message = parsed(socks5::parse_method_selection, wire);
        CHECK(to_hex(encode(message)) == to_hex(wire));
        return message.method;
    };
    SECTION("names the method") {
        CHECK(round_trip(hex("05 "     // VER
                             "00")) == // METHOD
              auth_method::none);
        CHECK(round_trip(hex("05 02")) == auth_method::password);
        CHECK(round_trip(hex("05 ff")) == auth_method::no_acceptable);
    }
    SECTION("of another version is refused") {
        require_refused(socks5::parse_method_selection, hex("04"), errc::reply_version);
    }
    SECTION("keeps its verdicts") {
        require_stable_verdicts(socks5::parse_method_selection, 0x05, test_seed());
    }
}

TEST_CASE("user name and password") {
    SECTION("both ways") {
        const auto wire = hex("01 "                 // VER
                              "05 "                 // ULEN
                              "61 6c 69 63 65 "     // UNAME: alice
                              "06 "                 // PLEN
                              "73 33 63 72 65 74"); // PASSWD: s3cret
        const auto message = parsed(socks5::parse_password_request, wire);
        CHECK(message.uname == "alice");
        CHECK(message.passwd == "s3cret");
        CHECK(to_hex(encode(message)) == to_hex(wire));
    }
    SECTION("of any bytes") {
        const auto wire = hex("01 02 00 ff 01 00");
        const auto message = parsed(socks5::parse_password_request, wire);
        CHECK(message.uname == std::string_view{"\x00\xff", 2});
        CHECK(message.passwd == std::string_view{"\x00", 1});
    }
    SECTION("that are empty") {
        const auto wire = hex("01 00 00");
        const auto message = parsed(socks5::parse_password_request, wire);
        CHECK(message.uname.empty());
        CHECK(message.passwd.empty());
    }
    SECTION("of 255 bytes are the longest message") {
        const std::string longest(255, 'x');
        const auto wire = encode(socks5::password_request{longest, longest});
        CHECK(wire.size() == socks5::message_bytes_max);
        const auto message = parsed(socks5::parse_password_request, wire);
        CHECK(message.uname == longest);
        CHECK(message.passwd == longest);
    }
    SECTION("of another version are refused") {
        require_refused(socks5::parse_password_request, hex("05"), errc::password_version);
    }
    SECTION("keep their verdicts") {
        require_stable_verdicts(socks5::parse_password_request, 0x01, test_seed());
    }
}

TEST_CASE("the status of a password") {
    SECTION("both ways") {
        const auto good = hex("01 "  // VER
                              "00"); // STATUS
        CHECK(parsed(socks5::parse_password_status, good).status == 0);
        CHECK(to_hex(encode(socks5::password_status{0})) == "01 00");
        const auto bad = hex("01 01");
        CHECK(parsed(socks5::parse_password_status, bad).status == 1);
        CHECK(to_hex(encode(socks5::password_status{1})) == "01 01");
    }
    SECTION("of another version is refused") {
        require_refused(socks5::parse_password_status, hex("05"), errc::password_version);
    }
    SECTION("keeps its verdicts") {
        require_stable_verdicts(socks5::parse_password_status, 0x01, test_seed());
    }
}

TEST_CASE("a request") {
    const auto round_trip = [](const std::vector<std::uint8_t>& wire) {
        const auto message = require_parsed(socks5::parse_request, wire);
        CHECK(to_hex(encode(message)) == to_hex(wire));
        return message;
    };
    SECTION("to IPv4") {
        const auto wire = hex("05 "          // VER
                              "01 "          // CMD: CONNECT
                              "00 "          // RSV
                              "01 "          // ATYP: IPv4
                              "c0 00 02 01 " // DST.ADDR: 192.0.2.1
                              "00 50");      // DST.PORT: 80
        CHECK(round_trip(wire) ==
              socks5::request{command::connect, address::from_ipv4({192, 0, 2, 1}, 80)});
    }
    SECTION("to a name") {
        const auto wire = hex("05 "                               // VER
                              "01 "                               // CMD: CONNECT
                              "00 "                               // RSV
                              "03 "                               // ATYP: domain name
                              "0b "                               // length
                              "65 78 61 6d 70 6c 65 2e 6f 72 67 " // DST.ADDR: example.org
                              "01 bb");                           // DST.PORT: 443
        CHECK(round_trip(wire) ==
              socks5::request{command::connect, address::from_domain("example.org", 443)});
    }
    SECTION("to IPv6") {
        const auto wire = hex("05 "                      // VER
                              "01 "                      // CMD: CONNECT
                              "00 "                      // RSV
                              "04 "                      // ATYP: IPv6
                              "20 01 0d b8 00 00 00 00 " // DST.ADDR: 2001:db8::1
                              "00 00 00 00 00 00 00 01 " //
                              "1f 90");                  // DST.PORT: 8080
        CHECK(round_trip(wire) == socks5::request{command::connect, documentation_ipv6});
    }
    SECTION("with any command") {
        for (int cmd = 0; cmd < 256; ++cmd) {
            auto wire = hex("05 00 00 01 c0 00 02 01 00 50");
            wire[1] = static_cast<std::uint8_t>(cmd);
            CHECK(round_trip(wire).cmd == static_cast<command>(cmd));
        }
    }
    SECTION("with any RSV, which is written as 0") {
        const auto message =
            require_parsed(socks5::parse_request, hex("05 01 ff 01 c0 00 02 01 00 50"));
        CHECK(to_hex(encode(message)) == "05 01 00 01 c0 00 02 01 00 50");
    }
    SECTION("of another version is refused") {
        require_refused(socks5::parse_request, hex("04"), errc::request_version);
        require_refused(socks5::parse_request, hex("01"), errc::request_version);
    }
    SECTION("with an unknown address type is refused, its command known") {
        const auto value = require_refused(socks5::parse_request, hex("05 03 00 02"),
                                           errc::address_type_not_supported);
        CHECK(value.cmd == command::udp_associate);
    }
    SECTION("with a wrong name is refused") {
        require_refused(socks5::parse_request, hex("05 01 00 03 00"), errc::empty_domain);
        require_refused(socks5::parse_request, hex("05 01 00 03 04 61 0a"), errc::invalid_domain);
    }
    SECTION("is written behind what is there") {
        auto out = hex("aa");
        append(out, socks5::request{command::connect, address::from_ipv4({1, 2, 3, 4}, 5)});
        CHECK(to_hex(out) == "aa 05 01 00 01 01 02 03 04 00 05");
    }
    SECTION("keeps its verdicts") {
        require_stable_verdicts(socks5::parse_request, 0x05, test_seed());
    }
}

TEST_CASE("a reply") {
    const auto round_trip = [](const std::vector<std::uint8_t>& wire) {
        const auto message = require_parsed(socks5::parse_reply, wire);
        CHECK(to_hex(encode(message)) == to_hex(wire));
        return message;
    };
    SECTION("with IPv4") {
        const auto wire = hex("05 "          // VER
                              "00 "          // REP: succeeded
                              "00 "          // RSV
                              "01 "          // ATYP: IPv4
                              "c6 33 64 07 " // BND.ADDR: 198.51.100.7
                              "c0 01");      // BND.PORT: 49153
        CHECK(round_trip(wire) == make_reply(socks5::reply_code::succeeded,
                                             address::from_ipv4({198, 51, 100, 7}, 49153)));
    }
    SECTION("with a name") {
        const auto wire = hex("05 "             // VER
                              "00 "             // REP: succeeded
                              "00 "             // RSV
                              "03 "             // ATYP: domain name
                              "05 "             // length
                              "70 72 6f 78 79 " // BND.ADDR: proxy
                              "04 38");         // BND.PORT: 1080
        CHECK(round_trip(wire).bnd == address::from_domain("proxy", 1080));
    }
    SECTION("with IPv6") {
        const auto wire = hex("05 "                      // VER
                              "00 "                      // REP: succeeded
                              "00 "                      // RSV
                              "04 "                      // ATYP: IPv6
                              "20 01 0d b8 00 00 00 00 " // BND.ADDR: 2001:db8::1
                              "00 00 00 00 00 00 00 01 " //
                              "1f 90");                  // BND.PORT: 8080
        CHECK(round_trip(wire).bnd == documentation_ipv6);
    }
    SECTION("with every REP, also the unassigned") {
        for (int rep = 0; rep < 256; ++rep) {
            auto wire = hex("05 00 00 01 00 00 00 00 00 00");
            wire[1] = static_cast<std::uint8_t>(rep);
            const auto message = round_trip(wire);
            CHECK(message.rep == rep);
            CHECK(message.code() == static_cast<socks5::reply_code>(rep));
        }
    }
    SECTION("that refuses has 0.0.0.0:0") {
        CHECK(to_hex(encode(make_reply(socks5::reply_code::connection_refused))) ==
              "05 05 00 01 00 00 00 00 00 00");
    }
    SECTION("of another version is refused") {
        require_refused(socks5::parse_reply, hex("00"), errc::reply_version);
    }
    SECTION("with ATYP 0 is refused, its REP known") {
        const auto value = require_refused(socks5::parse_reply, hex("05 05 00 00"),
                                           errc::address_type_not_supported);
        CHECK(value.code() == socks5::reply_code::connection_refused);
    }
    SECTION("keeps its verdicts") {
        require_stable_verdicts(socks5::parse_reply, 0x05, test_seed());
    }
}

TEST_CASE("a command has the name that RFC 1928 gives it, and its number") {
    CHECK(socks5::to_string(socks5::command::connect) == "CONNECT (0x01)");
    CHECK(socks5::to_string(socks5::command::bind) == "BIND (0x02)");
    CHECK(socks5::to_string(socks5::command::udp_associate) == "UDP ASSOCIATE (0x03)");
    CHECK(socks5::to_string(static_cast<socks5::command>(0x7f)) == "command 0x7f");
}
