#include "client/segment_limit.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace muxsocks::client;
using namespace std::chrono_literals;

namespace {

constexpr instant start{1h};

} // namespace

TEST_CASE("the limit of segments") {
    segment_limit limit;
    CHECK(limit.at_dial(start) == 0);

    SECTION("goes down in steps") {
        limit.lower(1448, start);
        CHECK(limit.at_dial(start) == 1220);
        limit.lower(1208, start);
        CHECK(limit.at_dial(start) == 536);
        CHECK(limit.lowest());
        limit.lower(524, start);
        CHECK(limit.at_dial(start) == 536);
    }
    SECTION("leaves out steps that the path's own limit is below") {
        limit.lower(1100, start);
        CHECK(limit.at_dial(start) == 536);
    }
    SECTION("is forgotten after an hour, then after two, and so on to a day") {
        auto now = start;
        for (auto held = segment_limit::hold_first; held < 100h; held *= 2) {
            limit.lower(1448, now);
            const auto expected = std::min(held, segment_limit::hold_max);
            CHECK(limit.at_dial(now + expected - 1s) == 1220);
            now += expected;
            CHECK(limit.at_dial(now) == 0);
        }
    }
    SECTION("is forgotten with the route") {
        limit.lower(1448, start);
        limit.on_route_changed();
        CHECK(limit.at_dial(start) == 0);
    }
    SECTION("is news once it has helped, and once") {
        limit.lower(1448, start);
        CHECK_FALSE(limit.take_news());
        limit.on_progress();
        CHECK(limit.take_news() == 1220);
        limit.on_progress();
        CHECK_FALSE(limit.take_news());
    }
}

TEST_CASE("handshakes that do not get through") {
    segment_limit limit;
    limit.at_dial(start);

    SECTION("are tried with each limit, and then without any") {
        limit.on_swallowed(false);
        CHECK(limit.at_dial(start) == 1220);
        limit.on_swallowed(false);
        CHECK(limit.at_dial(start) == 536);
        limit.on_swallowed(false);
        CHECK(limit.at_dial(start) == 0);
    }
    SECTION("that tell of a hole make the limit stay, and are news") {
        limit.on_swallowed(true);
        limit.at_dial(start);
        limit.on_secured(start);
        CHECK(limit.take_news() == 1220);
        CHECK(limit.at_dial(start + 59min) == 1220);
        CHECK(limit.at_dial(start + 60min) == 0);
    }
    SECTION("are believed at once on a link that had to have a limit already") {
        limit.lower(1448, start);
        limit.on_swallowed(false);
        CHECK(limit.at_dial(start) == 536);
        limit.on_secured(start);
        CHECK(limit.take_news() == 536);
        CHECK(limit.at_dial(start + 1min) == 536);
    }
    SECTION("that may have another reason are believed the second time") {
        limit.on_swallowed(false);
        limit.at_dial(start);
        limit.on_secured(start);
        CHECK_FALSE(limit.take_news());
        CHECK(limit.at_dial(start + 1min) == 0);
        limit.on_swallowed(false);
        limit.at_dial(start + 1min);
        limit.on_secured(start + 1min);
        CHECK(limit.take_news() == 1220);
        CHECK(limit.at_dial(start + 2min) == 1220);
    }
    SECTION("once and then never again leave no limit") {
        limit.on_swallowed(false);
        limit.at_dial(start);
        limit.on_secured(start);
        CHECK(limit.at_dial(start + 1min) == 0);
        limit.on_secured(start + 1min);
        limit.on_swallowed(false);
        limit.at_dial(start + 2min);
        limit.on_secured(start + 2min);
        CHECK_FALSE(limit.take_news());
    }
}
