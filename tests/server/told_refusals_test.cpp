#include "server/told_refusals.hpp"

#include "tests/catch.hpp"

using muxsocks::server::told_refusals;

TEST_CASE("a refusal is told once") {
    told_refusals told;
    CHECK(told.first("alice", "10.0.0.0/8"));
    SECTION("for each user and range") {
        CHECK_FALSE(told.first("alice", "10.0.0.0/8"));
        CHECK(told.first("bob", "10.0.0.0/8"));
        CHECK(told.first("alice", "127.0.0.0/8"));
    }
    SECTION("and again when the rules are others") {
        told.forget();
        CHECK(told.first("alice", "10.0.0.0/8"));
    }
    SECTION("and not at all beyond a bounded number") {
        for (std::size_t i = 1; i < told_refusals::remembered_max; ++i)
            CHECK(told.first("user " + std::to_string(i), "10.0.0.0/8"));
        CHECK_FALSE(told.first("one too many", "10.0.0.0/8"));
    }
}
