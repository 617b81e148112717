#include "protocol/program/values.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

/// "host|port", or "nothing".
std::string split(const char* text, std::optional<std::uint16_t> default_port = std::nullopt) {
    const auto parsed = parse_host_port(text, default_port);
    return parsed ? parsed->host + "|" + std::to_string(parsed->port) : "nothing";
}

} // namespace

TEST_CASE("a duration") {
    SECTION("is a whole number with a unit") {
        CHECK(parse_duration("250ms") == 250ms);
        CHECK(parse_duration("15s") == 15s);
        CHECK(parse_duration("2m") == 2min);
        CHECK(parse_duration("1h") == 1h);
        CHECK(parse_duration("7d") == 168h);
        CHECK(parse_duration("0") == 0ms);
        CHECK(parse_duration("0s") == 0ms);
    }
    SECTION("is nothing else") {
        for (const char* text :
             {"", "15", "s", "1.5s", "-1s", "+1s", " 1s", "1s ", "1 s", "1S", "1min", "01s",
              "1m30s", "9223372036854775807s", "99999999999999999999ms", "0x10s"}) {
            INFO(text);
            CHECK_FALSE(parse_duration(text));
        }
    }
    SECTION("is written in the largest unit that fits") {
        CHECK(format_duration(0ms) == "0");
        CHECK(format_duration(1500ms) == "1500ms");
        CHECK(format_duration(90s) == "90s");
        CHECK(format_duration(120s) == "2m");
        CHECK(format_duration(24h) == "1d");
    }
}

TEST_CASE("a rate") {
    CHECK(parse_bit_rate("20Mbit") == 20'000'000U);
    CHECK(parse_bit_rate("500kbit") == 500'000U);
    CHECK(parse_bit_rate("1Gbit") == 1'000'000'000U);
    CHECK(parse_bit_rate("8000") == 8'000U);
    for (const char* text : {"", "20MB", "20Mbit/s", "20 Mbit", "20mbit", "1.5Mbit", "-1", "20M"}) {
        INFO(text);
        CHECK_FALSE(parse_bit_rate(text));
    }
    CHECK(format_bit_rate(20'000'000) == "20Mbit");
    CHECK(format_bit_rate(1'500'000) == "1500kbit");
    CHECK(format_bit_rate(0) == "0");
}

TEST_CASE("a time") {
    const auto seconds = [](const char* text) -> std::int64_t {
        const auto time = parse_time(text);
        return time ? time->time_since_epoch().count() : -1;
    };
    SECTION("is that of RFC 3339, with whole seconds") {
        CHECK(seconds("1970-01-01T00:00:00Z") == 0);
        CHECK(seconds("2027-01-31T12:34:56Z") == 1'801'398'896);
        CHECK(seconds("2024-02-29T00:00:00Z") == 1'709'164'800);
        CHECK(seconds("1970-01-01T01:30:00+01:30") == 0);
        CHECK(seconds("1969-12-31T19:00:00-05:00") == 0);
    }
    SECTION("is nothing else") {
        for (const char* text :
             {"", "2027-01-31", "2027-01-31T00:00:00", "2027-01-31T00:00:00z",
              "2027-02-29T00:00:00Z", "2027-13-01T00:00:00Z", "2027-01-31T24:00:00Z",
              "2027-01-31T00:60:00Z", "2027-01-31 00:00:00Z", "2027-01-31T00:00:00.5Z",
              "2027-1-31T00:00:00Z", "2027-01-31T00:00:00+1:00", "2027-01-31T00:00:00Z ",
              "2027-01-31T00:00:00+24:00"}) {
            INFO(text);
            CHECK_FALSE(parse_time(text));
        }
    }
    SECTION("is written in UTC") {
        CHECK(format_time(*parse_time("2027-01-31T01:00:00+02:00")) == "2027-01-30T23:00:00Z");
        CHECK(format_time({}) == "1970-01-01T00:00:00Z");
    }
}

TEST_CASE("a size") {
    SECTION("is a whole number of bytes or of binary units") {
        CHECK(parse_size("512") == 512U);
        CHECK(parse_size("64KiB") == 65'536U);
        CHECK(parse_size("8MiB") == 8'388'608U);
        CHECK(parse_size("3GiB") == 3'221'225'472U);
        CHECK(parse_size("1TiB") == 1'099'511'627'776U);
        CHECK(parse_size("0") == 0U);
    }
    SECTION("is nothing else") {
        for (const char* text : {"", "KiB", "8MB", "8M", "8 MiB", "8mib", "1.5MiB", "-1",
                                 "16777216TiB", "18446744073709551616"}) {
            INFO(text);
            CHECK_FALSE(parse_size(text));
        }
    }
    SECTION("is written in the largest unit that fits") {
        CHECK(format_size(0) == "0");
        CHECK(format_size(1000) == "1000");
        CHECK(format_size(65'536) == "64KiB");
        CHECK(format_size(64ULL << 20) == "64MiB");
    }
}

TEST_CASE("an address with a port") {
    SECTION("has an IPv4 address, a bracketed IPv6 address, a name or nothing as its host") {
        CHECK(split("127.0.0.1:1080") == "127.0.0.1|1080");
        CHECK(split("[::1]:1080") == "::1|1080");
        CHECK(split("[fe80::1%eth0]:443") == "fe80::1%eth0|443");
        CHECK(split("example.org:443") == "example.org|443");
        CHECK(split("example.org.:443") == "example.org.|443");
        CHECK(split("a-b_c.example:0") == "a-b_c.example|0");
        CHECK(split("3f2a9c:65535") == "3f2a9c|65535");
        CHECK(split(":1080") == "|1080");
    }
    SECTION("is nothing else") {
        for (const char* text : {"",
                                 ":",
                                 "example.org",
                                 "127.0.0.1",
                                 "[::1]",
                                 "::1:1080",
                                 "[::1:1080",
                                 "[127.0.0.1]:1",
                                 "[example.org]:1",
                                 "[]:1",
                                 "[::1]1080",
                                 "host:65536",
                                 "host:-1",
                                 "host:+1",
                                 "host:01",
                                 "host: 1",
                                 "host:1 ",
                                 "ho st:1",
                                 "127.1:80",
                                 "1.2.3.4.5:80",
                                 "0x7f000001:80",
                                 "2130706433:80",
                                 "256.1.1.1:80",
                                 ".example:1",
                                 "a..b:1",
                                 "-a:1",
                                 "b\xc3\xbc"
                                 "cher.example:1",
                                 "https://example.org:443",
                                 "[fe80::1%]:1",
                                 "*:1080"}) {
            INFO(text);
            CHECK(split(text) == "nothing");
        }
    }
    SECTION("may go without a port where there is a default") {
        CHECK(split("192.0.2.1", 53) == "192.0.2.1|53");
        CHECK(split("2001:db8::1", 53) == "2001:db8::1|53");
        CHECK(split("[2001:db8::1]", 53) == "2001:db8::1|53");
        CHECK(split("[2001:db8::1]:5353", 53) == "2001:db8::1|5353");
        CHECK(split("192.0.2.1:5353", 53) == "192.0.2.1|5353");
        CHECK(split("", 53) == "nothing");
    }
    SECTION("is written as it is read") {
        CHECK(to_string(host_port{"::1", 1080}) == "[::1]:1080");
        CHECK(to_string(host_port{"example.org", 443}) == "example.org:443");
        CHECK(to_string(host_port{"", 1080}) == ":1080");
    }
    SECTION("has a host of at most 253 characters") {
        const std::string label(63, 'a');
        const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');
        CHECK(parse_host_port(longest + ":1"));
        CHECK_FALSE(parse_host_port(longest + "a:1"));
        // In one label they would load and never be found.
        CHECK(parse_host_port(label + ".example:1"));
        CHECK_FALSE(parse_host_port(label + "a.example:1"));
    }
}

TEST_CASE("a host that only this machine reaches") {
    for (const char* host : {"127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"}) {
        INFO(host);
        CHECK(is_loopback(host));
    }
    for (const char* host : {"", "0.0.0.0", "::", "192.168.1.1", "128.0.0.1", "fe80::1%eth0",
                             "localhost.example", "::ffff:10.0.0.1"}) {
        INFO(host);
        CHECK_FALSE(is_loopback(host));
    }
}

TEST_CASE("the nearest word") {
    const std::vector<std::string> keys{"listen", "links",   "link_max_age", "keepalive",
                                        "tls",    "threads", "open_listener"};
    SECTION("is found for a letter changed, lost, added or swapped") {
        CHECK(nearest_word("listem", keys) == "listen");
        CHECK(nearest_word("liste", keys) == "listen");
        CHECK(nearest_word("keep_alive", keys) == "keepalive");
        CHECK(nearest_word("theards", keys) == "threads");
        CHECK(nearest_word("tsl", keys) == "tls");
    }
    SECTION("is found in upper case and with hyphens") {
        CHECK(nearest_word("Link-Max-Age", keys) == "link_max_age");
        CHECK(nearest_word("TLS", keys) == "tls");
    }
    SECTION("is the nearer of two") { CHECK(nearest_word("linkss", keys) == "links"); }
    SECTION("is none for a word that resembles none") {
        CHECK_FALSE(nearest_word("status", keys));
        CHECK_FALSE(nearest_word("x", keys));
        CHECK_FALSE(nearest_word("", keys));
        CHECK_FALSE(nearest_word("anything", {}));
    }
}
