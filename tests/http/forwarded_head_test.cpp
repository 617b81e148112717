#include "http/forwarded_head.hpp"

#include "tests/catch.hpp"

using namespace muxsocks::http;

namespace {

std::string request(const std::string& text) {
    request_head parsed;
    REQUIRE_FALSE(parse(text, parsed));
    const auto target = parse_absolute(parsed.target);
    REQUIRE(target);
    return forwarded(parsed, *parse_authority(target->authority, 80), target->rest);
}

std::string answer(const std::string& text, bool close = false, bool old = false) {
    answer_head parsed;
    REQUIRE_FALSE(parse(text, parsed, "GET"));
    return forwarded(parsed, close, old);
}

} // namespace

TEST_CASE(
    "a request goes on in origin-form, with the target's Host, and everything else as it was") {
    CHECK(request("GET http://a:81/b?c HTTP/1.1\r\nUser-Agent: X\r\nhost: other\r\nB: 1\r\nb: 2\r\n"
                  "\r\n") ==
          "GET /b?c HTTP/1.1\r\nHost: a:81\r\nUser-Agent: X\r\nB: 1\r\nb: 2\r\n\r\n");
    CHECK(request("GET http://a HTTP/1.1\r\n\r\n") == "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(request("GET http://a?x HTTP/1.1\r\n\r\n") == "GET /?x HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(request("OPTIONS http://[::1]:80 HTTP/1.1\r\n\r\n") ==
          "OPTIONS * HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    CHECK(request("GET http://a/ HTTP/1.0\r\n\r\n") ==
          "GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n");
}

TEST_CASE("what is for the proxy does not go on") {
    CHECK(request("GET http://a/ HTTP/1.1\r\nProxy-Authorization: Basic x\r\nProxy-Connection: "
                  "keep-alive\r\nKeep-Alive: 5\r\nConnection: X-Own, Content-Length, host\r\n"
                  "X-Own: 1\r\nContent-Length: 5\r\nTE: gzip\r\n\r\n") ==
          "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    CHECK(request("GET http://a/ HTTP/1.1\r\nTE: gzip, trailers\r\nConnection: TE\r\n\r\n") ==
          "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
    CHECK(request("GET http://a/ HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n") ==
          "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    CHECK(request("GET http://a/ HTTP/1.1\r\nUpgrade: websocket\r\n\r\n") ==
          "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST_CASE("an answer goes on with what holds for the application's connection") {
    const std::string text = "HTTP/1.1 200 Fine\r\nX: 1\r\nConnection: close, Y\r\nY: 2\r\n"
                             "Content-Length: 3\r\nKeep-Alive: 5\r\n\r\n";
    CHECK(answer(text) == "HTTP/1.1 200 Fine\r\nX: 1\r\nContent-Length: 3\r\n\r\n");
    CHECK(answer(text, true) ==
          "HTTP/1.1 200 Fine\r\nX: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
    CHECK(answer(text, false, true) ==
          "HTTP/1.1 200 Fine\r\nX: 1\r\nContent-Length: 3\r\n"
          "Connection: keep-alive\r\nProxy-Connection: keep-alive\r\n\r\n");
    CHECK(answer("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n") ==
          "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n");
    CHECK(answer("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", true) ==
          "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    CHECK(answer("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", true) ==
          "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
}
