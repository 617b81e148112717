#include "http/body_walker.hpp"

#include "tests/catch.hpp"

#include <random>
#include <string>

using namespace muxsocks::http;

namespace {

body_walker chunked() {
    head of;
    of.body = framing::chunked;
    return body_walker(of);
}

/// How many bytes are taken in all, in pieces of random sizes; -1 for a fault.
long taken(body_walker walker, std::string_view bytes, unsigned seed) {
    std::mt19937 random{seed};
    std::size_t done = 0;
    while (done < bytes.size() && !walker.complete()) {
        const std::size_t size = 1 + random() % (seed == 0 ? 1 : 9);
        const auto piece = bytes.substr(done, size);
        const auto count = walker.take(piece);
        done += count;
        if (walker.failed()) return -1;
        REQUIRE((count == piece.size() || walker.complete()));
    }
    return walker.complete() ? static_cast<long>(done) : -2;
}

bool is_chunked_body(const std::string& text) {
    const auto whole = taken(chunked(), text, 0);
    for (unsigned seed = 1; seed < 20; ++seed)
        CHECK(taken(chunked(), text + "GET /next", seed) ==
              (whole == -2 ? taken(chunked(), text + "GET /next", 0) : whole));
    return whole == static_cast<long>(text.size());
}

} // namespace

TEST_CASE("a body of known length ends with its last byte") {
    head of;
    of.body = framing::length;
    of.length = 5;
    body_walker walker(of);
    CHECK(walker.take("abc") == 3);
    CHECK_FALSE(walker.complete());
    CHECK(walker.sure() == 2);
    CHECK(walker.take("defgh") == 2);
    CHECK(walker.complete());
    CHECK(walker.take("more") == 0);
}

TEST_CASE("a body without a length ends with its connection") {
    head of;
    of.body = framing::until_end;
    body_walker walker(of);
    CHECK(walker.take(std::string(100'000, 'x')) == 100'000);
    CHECK_FALSE(walker.complete());
    CHECK(walker.ends_with_connection());
}

TEST_CASE("a message without a body is complete") { CHECK(body_walker(head{}).complete()); }

TEST_CASE("chunked bodies") {
    CHECK(is_chunked_body("0\r\n\r\n"));
    CHECK(is_chunked_body("5\r\nhello\r\n0\r\n\r\n"));
    CHECK(is_chunked_body("00A\r\n0123456789\r\n1;name=\"value\";x\r\n\n\r\n0\r\n\r\n"));
    CHECK(is_chunked_body("2\r\n\r\n\r\n000\r\nTrailer: value\r\nOther:\r\n\r\n"));

    SECTION("that two parsers could read in two ways are refused") {
        for (const std::string text :
             {"5\nhello\n0\n\n", "5\r\nhello\n0\r\n\r\n", "5\rhello", "0x5\r\nhello\r\n0\r\n\r\n",
              " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n", "-5\r\n",
              "\r\n", ";x\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n",
              "1000000000000000\r\n", "0\r\n folded: x\r\n\r\n", "0\r\nno colon\r\n\r\n",
              "0\r\nx: y\n\r\n", "0\r\n\rX", "5;\x01\r\nhello\r\n0\r\n\r\n"})
            CHECK_FALSE(is_chunked_body(text));
    }
    SECTION("with endless extensions or trailers are refused") {
        CHECK_FALSE(is_chunked_body("5;" + std::string(5'000, 'x') + "\r\nhello\r\n0\r\n\r\n"));
        CHECK(taken(chunked(), "0\r\na:" + std::string(66'000, 'x'), 0) == -1);
    }
}
