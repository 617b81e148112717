#include "protocol/link/dial/host_name.hpp"

#include "tests/catch.hpp"

#include <boost/asio/ip/address.hpp>

#include <netdb.h>
#include <utility>
#include <vector>

using namespace muxsocks;

namespace {

std::string parsed(std::string_view host) {
    const auto address = parse_numeric_host(host);
    return address ? address->to_string() : "";
}

/// What getaddrinfo() makes of the text, without asking any server.
std::string by_getaddrinfo(const std::string& host) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return "";
    char text[NI_MAXHOST] = "";
    getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    return text;
}

} // namespace

TEST_CASE("addresses in every spelling are what getaddrinfo() makes of them") {
    const std::vector<std::pair<const char*, const char*>> spellings{
        {"127.0.0.1", "127.0.0.1"},
        {"127.1", "127.0.0.1"},
        {"127.0.1", "127.0.0.1"},
        {"2130706433", "127.0.0.1"},
        {"0x7f000001", "127.0.0.1"},
        {"0X7F.1", "127.0.0.1"},
        {"017700000001", "127.0.0.1"},
        {"0177.0.0.1", "127.0.0.1"},
        {"0x7f.0x0.0x0.0x1", "127.0.0.1"},
        {"00000000000000000000000000000000177.1", "127.0.0.1"},
        {"0", "0.0.0.0"},
        {"169.16689662", "169.254.169.254"},
        {"0xa9fea9fe", "169.254.169.254"},
        {"8.8.8.8", "8.8.8.8"},
        {"::1", "::1"},
        {"2001:DB8::1", "2001:db8::1"},
    };
    for (const auto& [text, address] : spellings) {
        CAPTURE(text);
        CHECK(parsed(text) == address);
        CHECK(by_getaddrinfo(text) == address);
    }
}

TEST_CASE("an IPv4-mapped address is the IPv4 address") {
    CHECK(parsed("::ffff:127.0.0.1") == "127.0.0.1");
    CHECK(parsed("0:0:0:0:0:ffff:a9fe:a9fe") == "169.254.169.254");
    CHECK(parsed("::127.0.0.1") == "::127.0.0.1");
}

TEST_CASE("what is no address is not read as one") {
    using std::string_literals::operator""s;
    for (const std::string& text : {""s,
                                    "example.org"s,
                                    "127.0.0.1 "s,
                                    " 127.0.0.1"s,
                                    "127.0.0.1 x"s,
                                    "127.0.0.1\n"s,
                                    "127.0.0.1\0"s,
                                    "127.0.0.1\0.example.org"s,
                                    "256.0.0.1"s,
                                    "1.2.3.4.5"s,
                                    "127.0.0.1."s,
                                    "4294967296"s,
                                    "08.0.0.1"s,
                                    "0x"s + "g"s,
                                    "[::1]"s,
                                    "::1%lo"s,
                                    "fe80::1%1"s,
                                    "::g"s,
                                    std::string(300, '0'),
                                    "+1"s,
                                    "-1"s,
                                    "1e3"s}) {
        CAPTURE(text);
        CHECK(parsed(text).empty());
        // Only what is a name may go to a DNS server.
        const bool name = text == "example.org" || text == "0xg" || text == "-1" || text == "1e3";
        CHECK(is_host_name(text) == name);
    }
}

TEST_CASE("names of hosts") {
    const std::string label(63, 'a');
    const std::string longest = label + '.' + label + '.' + label + '.' + std::string(61, 'b');

    SECTION("have letters, digits, hyphens and underscores") {
        for (const char* name : {"a", "localhost", "Example.ORG", "example.org.", "a-b.c_d.e",
                                 "_sip._tcp.example", "127.0.0.1.nip.io", "4chan.org", "xn--p1ai",
                                 "0x7f.example", "-a.example", "1.2.3.4a"}) {
            CAPTURE(name);
            CHECK(is_host_name(name));
        }
    }
    SECTION("have nothing else") {
        for (const char* name : {"", ".", "..", "a..b", ".a", "a b", "a/b", "a\\046b",
                                 "b\xc3\xbc"
                                 "cher.example",
                                 "a:80", "a@b", "*.example", "a,b", "user%40host", "a\tb"}) {
            CAPTURE(name);
            CHECK_FALSE(is_host_name(name));
        }
        CHECK_FALSE(is_host_name(std::string_view("a\0b", 3)));
    }
    SECTION("end in no number") {
        for (const char* name : {"1", "a.1", "a.0x1", "1.2.3.4.5", "a.1.", "a.0x", "example.007"}) {
            CAPTURE(name);
            CHECK_FALSE(is_host_name(name));
        }
    }
    SECTION("have at most 253 bytes, in labels of at most 63") {
        REQUIRE(longest.size() == host_name_bytes_max);
        CHECK(is_host_name(longest));
        CHECK(is_host_name(longest + '.'));
        CHECK_FALSE(is_host_name(longest + 'b'));
        CHECK(is_host_name(label));
        CHECK_FALSE(is_host_name(label + 'a'));
    }
    SECTION("are equal in any case, with or without the final dot") {
        CHECK(canonical_host_name("WWW.Example.ORG.") == "www.example.org");
    }
    SECTION("mean this machine by localhost and what is below") {
        CHECK(is_localhost_name("localhost"));
        CHECK(is_localhost_name("LocalHost."));
        CHECK(is_localhost_name("a.b.localhost"));
        CHECK_FALSE(is_localhost_name("mylocalhost"));
        CHECK_FALSE(is_localhost_name("localhost.example"));
    }
    SECTION("never exist below invalid") {
        CHECK(is_never_in_dns("invalid"));
        CHECK(is_never_in_dns("a.b.Invalid."));
        CHECK(is_never_in_dns("abc.onion"));
        CHECK(is_never_in_dns("onion"));
        CHECK_FALSE(is_never_in_dns("notinvalid"));
        CHECK_FALSE(is_never_in_dns("invalid.example"));
    }
}
