#include "protocol/program/repeated_lines.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

/// Lines of one kind, one after the other; how many were written.
int add(repeated_lines& lines, int count, repeated_lines::time_point now,
        std::string_view kind = "links", std::string_view origin = {}) {
    int written = 0;
    for (int i = 0; i < count; ++i)
        written += lines.admit(kind, origin, now) ? 1 : 0;
    return written;
}

constexpr repeated_lines::time_point start{1h};

} // namespace

TEST_CASE("of a kind of line that repeats") {
    repeated_lines lines;
    SECTION("the first five of a minute are written") {
        CHECK(add(lines, 5, start) == 5);
        CHECK_FALSE(lines.next());
        CHECK(add(lines, 337, start + 59s) == 0);
    }
    SECTION("the others are counted, and told when its minute is over") {
        add(lines, 342, start);
        REQUIRE(lines.next() == start + 60s);
        CHECK(lines.due(start + 59s).empty());
        const auto told = lines.due(start + 60s);
        REQUIRE(told.size() == 1);
        CHECK(told[0].kind == "links");
        CHECK(told[0].lines == 337);
        CHECK_FALSE(lines.next());
        CHECK(lines.due(start + 120s).empty());
    }
    SECTION("those that come before the number is told are in it") {
        add(lines, 6, start);
        CHECK(add(lines, 1, start + 61s) == 0);
        CHECK(lines.due(start + 62s).at(0).lines == 2);
    }
    SECTION("the next minute begins with its first line") {
        add(lines, 5, start);
        CHECK(add(lines, 6, start + 60s) == 5);
        CHECK(lines.next() == start + 120s);
    }
    SECTION("a few are told by nobody but themselves") {
        add(lines, 3, start);
        CHECK_FALSE(lines.next());
        CHECK(lines.due(start + 1h).empty());
    }
}

TEST_CASE("kinds and origins of lines are counted apart") {
    repeated_lines lines({2, 60s, 3});
    CHECK(add(lines, 9, start, "a") == 2);
    CHECK(add(lines, 9, start + 1s, "b", "x") == 2);
    CHECK(add(lines, 9, start + 2s, "b", "y") == 2);
    REQUIRE(lines.next() == start + 60s);
    CHECK(lines.due(start + 60s).size() == 1);
    CHECK(lines.next() == start + 61s);
    SECTION("until there are too many origins, which are then one") {
        add(lines, 1, start + 3s, "b", "z");
        CHECK(add(lines, 9, start + 3s, "b", "v") == 2);
        CHECK(add(lines, 9, start + 3s, "b", "w") == 0);
        const auto told = lines.due(start + 63s);
        REQUIRE(told.size() == 3);
        CHECK(told[0].origin.empty());
        CHECK(told[0].lines == 16);
    }
    SECTION("but those whose minute has ended make room") {
        add(lines, 1, start + 3s, "b", "z");
        (void)lines.due(start + 62s);
        CHECK(add(lines, 3, start + 64s, "b", "v") == 2);
        CHECK(lines.due(start + 124s).at(0).origin == "v");
    }
}
