#include "protocol/flood_guard.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr instant start{1h};

std::size_t takes(token_bucket& bucket, instant now, std::size_t tries) {
    std::size_t taken = 0;
    while (tries-- > 0)
        taken += bucket.take(now) ? 1 : 0;
    return taken;
}

} // namespace

TEST_CASE("a token bucket") {
    token_bucket bucket(10, 100);
    SECTION("gives its burst at once, and no more") { CHECK(takes(bucket, start, 200) == 100); }
    SECTION("is filled again at its rate") {
        takes(bucket, start, 100);
        CHECK(takes(bucket, start + 99ms, 100) == 0);
        CHECK(takes(bucket, start + 1s, 100) == 10);
        CHECK(takes(bucket, start + 3500ms, 100) == 25);
    }
    SECTION("never holds more than its burst") {
        takes(bucket, start, 1);
        bucket.give(50);
        CHECK(takes(bucket, start, 200) == 100);
        CHECK(takes(bucket, start + 1h, 200) == 100);
    }
    SECTION("gets tokens back") {
        takes(bucket, start, 100);
        bucket.give(3);
        CHECK(takes(bucket, start, 100) == 3);
    }
    SECTION("can be asked without taking") {
        takes(bucket, start, 99);
        CHECK(bucket.has(start));
        CHECK(bucket.has(start));
        CHECK(bucket.take(start));
        CHECK_FALSE(bucket.has(start));
    }
    SECTION("tells how many are left") {
        takes(bucket, start, 30);
        CHECK(bucket.level(start) == 70);
        CHECK(bucket.level(start + 150ms) == 71);
    }
    SECTION("is as it was elsewhere") {
        bucket.set_level(40, start);
        CHECK(takes(bucket, start, 200) == 40);
        bucket.set_level(400, start);
        CHECK(takes(bucket, start, 200) == 100);
    }
}

TEST_CASE("a token bucket that holds more than can be said") {
    CHECK(token_bucket(10, 8.6e9).level(start) == 0xffff'ffff);
}

TEST_CASE("the limits of a session") {
    // docs/PROTOCOL.md, "Floods".
    flood_guard guard{flood_limits{}};
    CHECK(takes(guard.opens, start, 30'000) == 20'000);
    CHECK(takes(guard.incomplete, start, 30'000) == 1'000);
    CHECK(takes(guard.incomplete, start + 1s, 30'000) == 200);
    CHECK(takes(guard.resets, start, 30'000) == 1'000);
    CHECK(takes(guard.resets, start + 1s, 30'000) == 33);
}
