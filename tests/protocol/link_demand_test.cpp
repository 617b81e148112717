#include "protocol/link_demand.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

using dial_end = link_demand::dial_end;

} // namespace

TEST_CASE("how many links a session wants") {
    link_demand demand(3);
    instant now{1h};

    SECTION("is one") {
        CHECK(demand.wanted(now) == 1);
        CHECK_FALSE(demand.dial_due(1, 1, now));
        CHECK_FALSE(demand.deadline(1, 1, now));
    }
    SECTION("is what helps, for a minute") {
        demand.need(3, now);
        CHECK(demand.wanted(now) == 3);
        CHECK(demand.deadline(3, 3, now) == now + 60s);
        CHECK(demand.wanted(now + 60s - 1ns) == 3);
        CHECK(demand.wanted(now + 60s) == 1);
    }
    SECTION("falls one by one as the needs end") {
        demand.need(3, now);
        demand.need(2, now + 30s);
        CHECK(demand.wanted(now + 60s) == 2);
        CHECK(demand.deadline(2, 2, now + 60s) == now + 90s);
        CHECK(demand.wanted(now + 90s) == 1);
    }
    SECTION("is bounded by what was agreed") {
        link_demand two(2);
        two.need(3, now);
        CHECK(two.wanted(now) == 2);
        link_demand one(1);
        one.need(3, now);
        CHECK(one.wanted(now) == 1);
        link_demand many(9);
        many.need(9, now);
        CHECK(many.wanted(now) == 3);
    }
    SECTION("is not a server's to say") {
        link_demand none(0);
        none.need(3, now);
        CHECK(none.wanted(now) == 1);
        CHECK_FALSE(none.dials());
        CHECK_FALSE(none.dial_due(1, 1, now));
    }
}

TEST_CASE("a dial for another link") {
    link_demand demand(3);
    instant now{1h};
    demand.need(3, now);

    SECTION("is due while there are too few, one at a time") {
        CHECK(demand.dial_due(1, 1, now));
        demand.on_dial(now);
        CHECK_FALSE(demand.dial_due(1, 1, now));
        demand.on_dial_ended(dial_end::joined, now + 1s);
        CHECK(demand.dial_due(2, 2, now + 1s));
        CHECK_FALSE(demand.dial_due(3, 3, now + 1s));
    }
    SECTION("is not this one's business for a session without a link") {
        CHECK_FALSE(demand.dial_due(0, 0, now));
    }
    SECTION("may replace one link that is doubted before that is given up, not two") {
        CHECK(demand.dial_due(2, 3, now));
        CHECK_FALSE(demand.dial_due(2, 4, now));
    }
    SECTION("is one a second after a burst of sixteen") {
        for (int i = 0; i < 16; ++i) {
            CHECK(demand.dial_due(1, 1, now));
            demand.on_dial(now);
            demand.on_dial_ended(dial_end::joined, now);
        }
        CHECK_FALSE(demand.dial_due(1, 1, now));
        CHECK(demand.deadline(1, 1, now) == now + 1s);
        CHECK_FALSE(demand.dial_due(1, 1, now + 999ms));
        CHECK(demand.dial_due(1, 1, now + 1s));
        demand.on_dial(now + 1s);
        demand.on_dial_ended(dial_end::joined, now + 1s);
        CHECK_FALSE(demand.dial_due(1, 1, now + 1s));
        CHECK(demand.dial_due(1, 1, now + 2s));
    }
    SECTION("waits ten seconds after a failure, and twice as long each time, up to ten minutes") {
        duration wait = 10s;
        for (int i = 0; i < 12; ++i) {
            demand.need(3, now);
            REQUIRE(demand.dial_due(1, 1, now));
            demand.on_dial(now);
            demand.on_dial_ended(dial_end::failed, now);
            demand.need(3, now + wait);
            CHECK_FALSE(demand.dial_due(1, 1, now + wait - 1ns));
            CHECK(demand.dial_due(1, 1, now + wait));
            now += wait;
            wait = std::min<duration>(2 * wait, 10min);
        }
    }
    SECTION("waits a minute when another server answered that does not know the session") {
        demand.on_dial(now);
        demand.on_dial_ended(dial_end::elsewhere, now);
        demand.need(3, now + 60s);
        CHECK_FALSE(demand.dial_due(1, 1, now + 60s - 1ns));
        CHECK(demand.dial_due(1, 1, now + 60s));
    }
    SECTION("waits short again after one that joined") {
        for (int i = 0; i < 3; ++i) {
            demand.on_dial(now);
            demand.on_dial_ended(dial_end::failed, now);
            now += 10min;
        }
        demand.on_dial(now);
        demand.on_dial_ended(dial_end::joined, now);
        demand.on_dial(now);
        demand.on_dial_ended(dial_end::failed, now);
        demand.need(3, now);
        CHECK(demand.deadline(1, 1, now) == now + 10s);
    }
    SECTION("has a deadline only when there is something to dial for") {
        demand.on_dial(now);
        demand.on_dial_ended(dial_end::failed, now);
        CHECK(demand.deadline(3, 3, now) == now + 60s);
        CHECK(demand.deadline(1, 1, now) == now + 10s);
    }
}
