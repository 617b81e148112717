#include "http/head.hpp"

#include "tests/catch.hpp"

#include <string>

using namespace muxsocks::http;

namespace {

/// The status that a request's head is refused with; 0 if it is not.
unsigned status_of_request(const std::string& text) {
    head_end end;
    const auto size = end.find(text);
    if (end.fault()) return end.fault().status;
    REQUIRE(size == text.size());
    request_head parsed;
    return parse(text, parsed).status;
}

unsigned status_of_fields(const std::string& fields) {
    return status_of_request("POST http://a/ HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n");
}

answer_head answered(const std::string& text, std::string_view to_method = "GET") {
    answer_head parsed;
    head_end end;
    REQUIRE(end.find(text) == text.size());
    const auto wrong = parse(text, parsed, to_method);
    INFO(wrong.text);
    REQUIRE_FALSE(wrong);
    return parsed;
}

request_head requested(const std::string& text) {
    request_head parsed;
    head_end end;
    REQUIRE(end.find(text) == text.size());
    REQUIRE_FALSE(parse(text, parsed));
    return parsed;
}

} // namespace

TEST_CASE("a request's head") {
    const std::string text = "POST http://example.org/a?b HTTP/1.1\r\n"
                             "Host: example.org\r\n"
                             "X-Empty:\r\n"
                             "content-LENGTH: \t12 \r\n"
                             "Connection: foo, Keep-Alive\r\n\r\n";

    SECTION("is found with its last byte, not before") {
        for (std::size_t size = 0; size < text.size(); ++size) {
            head_end end;
            CHECK(end.find(std::string_view(text).substr(0, size)) == 0);
            CHECK_FALSE(end.fault());
        }
        head_end bytewise;
        for (std::size_t size = 0; size < text.size(); ++size)
            CHECK(bytewise.find(std::string_view(text).substr(0, size)) == 0);
        CHECK(bytewise.find(text + "behind") == text.size());
    }
    SECTION("has its parts, with white space around values taken away") {
        const auto parsed = requested(text);
        CHECK(parsed.method == "POST");
        CHECK(parsed.target == "http://example.org/a?b");
        CHECK(parsed.minor == 1);
        CHECK(parsed.fields.size() == 4);
        CHECK(parsed.value("x-empty").empty());
        CHECK(parsed.has("X-EMPTY"));
        CHECK(parsed.body == framing::length);
        CHECK(parsed.length == 12);
    }
    SECTION("tells whether its connection persists") {
        CHECK(requested(text).persists());
        CHECK_FALSE(requested("GET / HTTP/1.1\r\nConnection: x,close\r\n\r\n").persists());
        CHECK_FALSE(requested("GET / HTTP/1.0\r\n\r\n").persists());
        CHECK(requested("GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n").persists());
    }
    SECTION("tells whether it asks for another protocol") {
        CHECK(requested("GET / HTTP/1.1\r\nUpgrade: a\r\nConnection: Upgrade\r\n\r\n").upgrade);
        CHECK_FALSE(requested("GET / HTTP/1.1\r\nUpgrade: a\r\n\r\n").upgrade);
    }
}

TEST_CASE("heads that two parsers could read in two ways are refused") {
    CHECK(status_of_fields("X: y\r\n") == 0);
    CHECK(status_of_fields("Transfer-Encoding: chunked\r\n") == 0);

    SECTION("ends of lines") {
        CHECK(status_of_fields("X: y\n") == 400);
        CHECK(status_of_fields("X: y\rZ: a\r\n") == 400);
        CHECK(status_of_fields("X: y\r\r\n") == 400);
        CHECK(status_of_request("GET / HTTP/1.1\n\n") == 400);
        CHECK(status_of_request("\r\nGET / HTTP/1.1\r\n\r\n") == 400);
    }
    SECTION("lengths") {
        for (const auto* each : {"5\r\nContent-Length: 5", "5, 5", "+5", "-1", "0x5", "5 5", "",
                                 "1234567890123456789", "five"})
            CHECK(status_of_fields("Content-Length: " + std::string(each) + "\r\n") == 400);
        CHECK(status_of_fields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") == 400);
        CHECK(status_of_fields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") == 400);
    }
    SECTION("transfer codings") {
        for (const auto* each : {"gzip", "gzip, chunked", "chunked, chunked", "identity", "",
                                 "chunked\r\nTransfer-Encoding: chunked", "xchunked"})
            CHECK(status_of_fields("Transfer-Encoding: " + std::string(each) + "\r\n") == 501);
        CHECK(status_of_request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
    }
    SECTION("names and folded lines") {
        CHECK(status_of_fields("Content-Length : 5\r\n") == 400);
        CHECK(status_of_fields("X: y\r\n folded\r\n") == 400);
        CHECK(status_of_fields(" X: y\r\n") == 400);
        CHECK(status_of_fields("no colon\r\n") == 400);
        CHECK(status_of_fields(": y\r\n") == 400);
        CHECK(status_of_fields("X(: y\r\n") == 400);
        CHECK(status_of_fields("Host: b\r\n") == 400);
    }
    SECTION("control bytes") {
        CHECK(status_of_fields("X: a\x01z\r\n") == 400);
        CHECK(status_of_fields("X: a\x7fz\r\n") == 400);
        CHECK(status_of_fields(std::string("X: a\0z\r\n", 8)) == 400);
        CHECK(status_of_fields("X: a\tz\xc3\xbc\r\n") == 0);
    }
    SECTION("first lines") {
        for (const auto* each :
             {"GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /", "GET / HTTP/1",
              "GET / http/1.1", "G(T / HTTP/1.1", "GET /a b HTTP/1.1", "GET /\t HTTP/1.1",
              "GET /#x HTTP/1.1", "GET HTTP/1.1", "GET / HTTP/1.11"})
            CHECK(status_of_request(std::string(each) + "\r\n\r\n") == 400);
        CHECK(status_of_request("GET / HTTP/2.0\r\n\r\n") == 505);
        CHECK(status_of_request("GET / HTTP/1.2\r\n\r\n") == 505);
        CHECK(status_of_request("GET / HTTP/0.9\r\n\r\n") == 505);
    }
    SECTION("sizes") {
        CHECK(status_of_fields("X: " + std::string(66'000, 'y') + "\r\n") == 431);
        std::string many;
        for (int i = 0; i < 255; ++i)
            many += "a: b\r\n";
        CHECK(status_of_fields(many) == 0);
        CHECK(status_of_fields(many + "a: b\r\n") == 431);
    }
}

TEST_CASE("an answer's head says where its body ends") {
    CHECK(answered("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").length == 3);
    CHECK(answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").body == framing::none);
    CHECK(answered("HTTP/1.1 200\r\n\r\n").body == framing::until_end);
    CHECK(answered("HTTP/1.1 200 \r\nTransfer-Encoding: Chunked\r\n\r\n").body == framing::chunked);
    CHECK(answered("HTTP/1.0 200 OK\r\n\r\n").body == framing::until_end);

    SECTION("there is none") {
        const std::string length = "\r\nContent-Length: 3\r\n\r\n";
        CHECK(answered("HTTP/1.1 204 No" + length).body == framing::none);
        CHECK(answered("HTTP/1.1 304 No" + length).body == framing::none);
        CHECK(answered("HTTP/1.1 100 Go\r\n\r\n").body == framing::none);
        CHECK(answered("HTTP/1.1 101 Go\r\n\r\n").body == framing::none);
        CHECK(answered("HTTP/1.1 200 OK" + length, "HEAD").body == framing::none);
        CHECK(answered("HTTP/1.1 200 OK\r\n\r\n", "HEAD").body == framing::none);
    }
    SECTION("what is no answer is refused") {
        answer_head parsed;
        for (const auto* each : {"HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 x",
                                 "ICY 200 OK xxxx", "HTTP/1.1  200", "HTTP/3.0 200 OK"})
            CHECK(parse(std::string(each) + "\r\n\r\n", parsed, "GET"));
    }
}
