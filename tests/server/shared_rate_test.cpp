/// \file
/// A user's rate, shared by parts that come for it by their own clocks.

#include "server/shared_rate.hpp"

#include "tests/catch.hpp"

#include <vector>

using namespace muxsocks;
using namespace muxsocks::server;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t rate = 2'500'000; ///< 20 Mbit/s.

/// One that waits all the time and comes every `pause`, beginning after `begin`.
struct part {
    std::int64_t streams;
    duration pause = 10ms;
    duration begin = 0ms;
    instant last{};
    std::int64_t bytes = 0;
};

std::vector<part> parts_of(std::initializer_list<part> all) { return all; }

struct sharing {
    explicit sharing(std::vector<part> all) : parts(std::move(all)) {
        of.set(rate);
        for (auto& each : parts) {
            of.change_waiting(each.streams);
            each.last = now;
            next.push_back(now + each.begin);
        }
    }
    /// Time passes; returns what all have got meanwhile.
    std::int64_t pass(duration time) {
        std::int64_t sum = 0;
        const auto end = now + time;
        for (;;) {
            const auto first = std::min_element(next.begin(), next.end());
            if (*first > end) break;
            now = *first;
            auto& one = parts[static_cast<std::size_t>(first - next.begin())];
            const auto got = of.claim(now, now - one.last, one.streams);
            one.last = now;
            one.bytes += got;
            sum += got;
            *first = now + one.pause;
        }
        now = end;
        return sum;
    }

    shared_rate of;
    std::vector<part> parts;
    std::vector<instant> next;
    instant now{1h};
};

} // namespace

TEST_CASE("a rate that one part takes") {
    sharing one(parts_of({{16}}));
    SECTION("is kept to the byte, behind what had been kept at first") {
        CHECK(one.pass(1s) <= rate + one.of.bytes_in(shared_rate::burst));
        CHECK(std::abs(one.pass(10s) - 10 * rate) <= rate / 100);
    }
    SECTION("is all the same when it comes late now and then") {
        one.parts[0].pause = 70ms;
        one.pass(1s);
        CHECK(std::abs(one.pass(10s) - 10 * rate) <= rate / 10);
    }
    SECTION("is not made up for beyond a moment") {
        one.pass(1s);
        one.next[0] += 10s;
        one.pass(10s);
        CHECK(one.pass(1s) <= rate + one.of.bytes_in(shared_rate::burst));
    }
    SECTION("changes at once") {
        one.pass(1s);
        one.of.set(rate / 10);
        CHECK(one.pass(1s) <= rate / 10 + rate / 5);
        CHECK(std::abs(one.pass(10s) - rate) <= rate / 50);
        one.of.set(4 * rate);
        one.pass(1s);
        CHECK(std::abs(one.pass(10s) - 40 * rate) <= rate);
    }
    SECTION("counts each byte where it is low") {
        one.of.set(1'000);
        one.pass(1s);
        CHECK(std::abs(one.pass(10s) - 10'000) <= 100);
    }
}

TEST_CASE("a rate that several parts share") {
    SECTION("goes by streams, whenever each comes") {
        sharing all(parts_of({{1, 10ms, 0ms}, {4, 10ms, 1ms}, {11, 10ms, 2ms}}));
        all.pass(1s);
        for (auto& each : all.parts)
            each.bytes = 0;
        const auto sum = all.pass(10s);
        CHECK(std::abs(sum - 10 * rate) <= rate / 10);
        for (const auto& each : all.parts) {
            const auto fair = sum * each.streams / 16;
            INFO(each.streams << " streams: " << each.bytes << " of " << fair);
            CHECK(std::abs(each.bytes - fair) <= fair / 10);
        }
    }
    SECTION("goes by streams, however often each comes") {
        sharing all(parts_of({{8, 10ms}, {8, 37ms}}));
        all.pass(1s);
        const auto before = all.parts[0].bytes - all.parts[1].bytes;
        all.pass(10s);
        CHECK(std::abs(all.parts[0].bytes - all.parts[1].bytes - before) <= rate / 2);
    }
    SECTION("is all for who stays") {
        sharing all(parts_of({{8}, {8}}));
        all.pass(1s);
        all.of.change_waiting(-8);
        all.next[1] += 1h;
        all.pass(1s);
        const auto before = all.parts[0].bytes;
        all.pass(10s);
        CHECK(std::abs(all.parts[0].bytes - before - 10 * rate) <= rate / 10);
    }
    SECTION("is shared out where one says that it waits and takes nothing") {
        sharing all(parts_of({{1}, {1}}));
        all.pass(1s);
        all.next[1] += 1h;
        all.pass(1s);
        // Only what had been kept long ago is lost.
        CHECK(all.pass(10s) >= 9 * rate);
    }
}
