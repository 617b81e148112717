/// \file
/// What users have moved, on a scripted clock: periods move, totals never fall.

#include "server/quota.hpp"

#include "protocol/program/values.hpp"
#include "server/usage_book.hpp"
#include "tests/catch.hpp"

using namespace muxsocks;
using namespace muxsocks::server;
using namespace std::chrono_literals;

namespace {

wall_time at(const char* text) { return parse_time(text).value(); }

std::string period(quota_period per, const char* now) {
    const auto begin = period_begin(per, at(now));
    const auto end = period_end(per, begin);
    return format_time(begin).substr(0, 10) + " to " +
           (end ? format_time(*end).substr(0, 10) : "never");
}

quota_settings quota_of(std::uint64_t bytes, quota_period per = quota_period::month) {
    quota_settings made;
    made.bytes = bytes;
    made.per = per;
    return made;
}

} // namespace

TEST_CASE("a period of a quota") {
    CHECK(period(quota_period::day, "2026-11-29T23:59:59Z") == "2026-11-29 to 2026-11-30");
    CHECK(period(quota_period::week, "2026-11-29T23:59:59Z") == "2026-11-23 to 2026-11-30");
    CHECK(period(quota_period::week, "2026-11-30T00:00:00Z") == "2026-11-30 to 2026-12-07");
    CHECK(period(quota_period::month, "2026-12-31T12:00:00Z") == "2026-12-01 to 2027-01-01");
    CHECK(period(quota_period::month, "2024-02-29T12:00:00Z") == "2024-02-01 to 2024-03-01");
    CHECK(period(quota_period::ever, "2026-12-31T12:00:00Z") == "1970-01-01 to never");
}

TEST_CASE("what a user has moved") {
    user_usage one;
    one.move_on(quota_period::month, at("2026-11-29T12:00:00Z"));
    one.add({1, 10}, at("2026-11-29T12:00:00Z"));
    SECTION("counts in total and in its period") {
        CHECK(one.total == traffic{1, 10});
        CHECK(one.period == traffic{1, 10});
        CHECK(one.since == at("2026-11-29T12:00:00Z"));
    }
    SECTION("begins anew with the next period, but in total") {
        one.move_on(quota_period::month, at("2026-11-30T23:59:59Z"));
        one.add({1, 10}, at("2026-11-30T23:59:59Z"));
        CHECK(one.period == traffic{2, 20});
        one.move_on(quota_period::month, at("2026-12-01T00:00:00Z"));
        CHECK(one.period == traffic{});
        one.add({1, 10}, at("2026-12-01T00:00:00Z"));
        CHECK(one.period == traffic{1, 10});
        CHECK(one.total == traffic{3, 30});
    }
    SECTION("skips periods in which nobody was here") {
        one.move_on(quota_period::month, at("2031-06-15T00:00:00Z"));
        CHECK(one.begin == at("2031-06-01T00:00:00Z"));
        CHECK(one.total == traffic{1, 10});
    }
    SECTION("stays in its period when the clock is set back a little") {
        one.move_on(quota_period::month, at("2026-12-01T00:00:00Z"));
        one.add({5, 0}, at("2026-12-01T00:00:00Z"));
        one.move_on(quota_period::month, at("2026-11-30T23:59:00Z"));
        CHECK(one.begin == at("2026-12-01T00:00:00Z"));
        CHECK(one.period == traffic{5, 0});
    }
    SECTION("is not lost for years when the clock was far ahead") {
        one.move_on(quota_period::month, at("2099-01-01T00:00:00Z"));
        one.add({5, 0}, at("2099-01-01T00:00:00Z"));
        one.move_on(quota_period::month, at("2026-11-29T12:00:00Z"));
        CHECK(one.begin == at("2026-11-01T00:00:00Z"));
        CHECK(one.period == traffic{5, 0});
    }
    SECTION("begins anew where the quota is for another period now") {
        one.move_on(quota_period::day, at("2026-11-29T12:00:00Z"));
        CHECK(one.period == traffic{});
        CHECK(one.total == traffic{1, 10});
    }
}

TEST_CASE("the book of what users have moved") {
    usage_book book;
    const auto now = at("2026-11-29T12:00:00Z");
    SECTION("says once that a quota is used up, and until when") {
        CHECK_FALSE(book.add("a", {400, 599}, quota_of(1000), now).used_up);
        const auto used = book.add("a", {1, 0}, quota_of(1000), now);
        CHECK(used.used_up);
        CHECK(used.news);
        CHECK(used.until == at("2026-12-01T00:00:00Z"));
        CHECK_FALSE(book.add("a", {1, 0}, quota_of(1000), now).news);
        CHECK_FALSE(book.add("b", {1, 0}, quota_of(1000), now).used_up);
    }
    SECTION("lets a user go on in the next period, or with a larger quota") {
        book.add("a", {1000, 0}, quota_of(1000), now);
        CHECK_FALSE(book.add("a", {}, quota_of(1001), now).used_up);
        CHECK(book.add("a", {}, quota_of(1000), now).news);
        CHECK_FALSE(book.add("a", {}, quota_of(1000), at("2026-12-01T00:00:00Z")).used_up);
    }
    SECTION("counts the direction that the quota is for") {
        auto quota = quota_of(1000);
        quota.count = quota_settings::counted::down;
        CHECK_FALSE(book.add("a", {5000, 999}, quota, now).used_up);
        CHECK(book.add("a", {0, 1}, quota, now).used_up);
        quota.count = quota_settings::counted::up;
        CHECK(book.add("a", {0, 0}, quota, now).used_up);
        CHECK_FALSE(book.add("b", {999, 5000}, quota, now).used_up);
    }
    SECTION("has no end for one that is for ever") {
        const auto used = book.add("a", {1000, 0}, quota_of(1000, quota_period::ever), now);
        CHECK(used.used_up);
        CHECK_FALSE(used.until);
        CHECK(book.add("a", {}, quota_of(1000, quota_period::ever), now + 24h * 10'000).used_up);
    }
    SECTION("is to be kept where something has changed") {
        CHECK_FALSE(book.take_changed());
        book.add("a", {1, 2}, {}, now);
        CHECK(book.take_changed());
        CHECK_FALSE(book.take_changed());
        book.add("a", {}, {}, now);
        CHECK_FALSE(book.take_changed());
        book.set_changed();
        CHECK(book.take_changed());
    }
    SECTION("comes back from its text as it was") {
        book.add("a", {1, 2}, quota_of(1000, quota_period::week), now);
        book.add("\u00e9 \"x\"\n", {~0ULL, 0}, {}, now);
        CHECK(decode_usage(encode(book.all())) == book.all());
    }
    SECTION("is nothing where its text is cut anywhere, or another") {
        book.add("a", {1, 2}, quota_of(1000), now);
        const auto text = encode(book.all());
        for (std::size_t size = 0; size + 1 < text.size(); ++size)
            CHECK_FALSE(decode_usage(text.substr(0, size)));
        for (const char* other :
             {"", "{}", "[]", R"({"version": 2, "users": {}})",
              R"({"version": 1, "users": {"a": {}}})", R"({"version": 1, "users": {"a": 7}})"})
            CHECK_FALSE(decode_usage(other));
        auto wrong = text;
        wrong.replace(wrong.find("2026-11"), 7, "2026-13");
        CHECK_FALSE(decode_usage(wrong));
    }
}

TEST_CASE("what a user is told of its quota") {
    CHECK(quota_of(50ULL << 30).sentence(at("2026-12-01T00:00:00Z")) ==
          "the user's quota of 50GiB a month is used up until 2026-12-01T00:00:00Z "
          "(users[].quota)");
    CHECK(quota_of(1000, quota_period::ever).sentence({}) ==
          "the user's quota of 1000 is used up (users[].quota)");
}
