#include "protocol/flight_bound.hpp"

#include "tests/catch.hpp"

#include <cmath>
#include <deque>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

double in_seconds(duration d) { return std::chrono::duration<double>(d).count(); }

/// A long path of one narrow place with a queue in front, in steps of a millisecond, and a
/// congestion control that has `window_bytes` in flight unless there is a bound.
struct long_path {
    double bytes_per_second = 12.5e6;
    duration rtt_min = 100ms;
    double window_bytes = 2.4e6; ///< Almost two of what the path carries in a round trip.
    double others_bytes = 0;     ///< In the queue, of another flow that gives nothing up.
    double floor_bytes = 0;      ///< With less in flight the path is not full, for bursts.
    bool backlogged = true;      ///< Whether there always is something to send.
    flight_bound bound;
    instant now{1h};
    std::deque<double> sent; ///< What was in flight in each millisecond of a round trip.
    double delivered = 0;
    double rtt = 0.1; ///< Smoothed, seconds.
    int restarts = 0;

    double full() const { return bytes_per_second * in_seconds(rtt_min); }
    double in_flight() const {
        const auto limit = bound.limit_bytes();
        return limit ? std::min(window_bytes, static_cast<double>(*limit)) : window_bytes;
    }
    /// What is acknowledged was sent a round trip ago.
    double rate() const {
        const auto own = sent.empty() ? in_flight() : sent.front();
        const auto total = own + others_bytes;
        const auto carried = std::min(1.0, total / std::max(full(), floor_bytes));
        return carried * bytes_per_second * own / total;
    }
    double queue_seconds() const {
        return std::max(0.0, (in_flight() + others_bytes - full()) / bytes_per_second);
    }
    void run(duration time) {
        for (const auto end = now + time; now < end; now += 1ms) {
            delivered += rate() / 1000;
            sent.push_back(in_flight());
            while (sent.size() > static_cast<std::size_t>(rtt_min / 1ms))
                sent.pop_front();
            rtt += (in_seconds(rtt_min) + queue_seconds() - rtt) / 16;
            const auto limit = bound.limit_bytes();
            if (limit && window_bytes >= static_cast<double>(*limit)) bound.on_held();
            if (!backlogged) bound.on_idle();
            if (!bound.wants_sample(now)) continue;
            bound.on_sample({static_cast<std::uint64_t>(delivered),
                             duration(static_cast<std::int64_t>(rtt * 1e9)), rtt_min,
                             static_cast<std::size_t>(window_bytes)},
                            now);
            restarts += bound.take_restart();
        }
    }
    bool full_rate() const { return rate() > 0.97 * bytes_per_second; }
};

} // namespace

TEST_CASE("what is in flight on a long path") {
    long_path way;

    SECTION("is cut to what the path carries as soon as a queue stands") {
        CHECK(way.queue_seconds() > 0.09);
        way.run(300ms);
        CHECK(way.bound.limit_bytes());
        way.run(3s);
        CHECK(way.full_rate());
        CHECK(way.queue_seconds() < 0.012);
    }
    SECTION("is left alone while no queue stands") {
        way.window_bytes = way.full();
        way.run(20s);
        CHECK_FALSE(way.bound.limit_bytes());
    }
    SECTION("is left alone on a short path") {
        way.rtt_min = 2ms;
        way.rtt = 0.002;
        way.run(20s);
        CHECK_FALSE(way.bound.limit_bytes());
    }
    SECTION("is left alone where there is not always something to send") {
        way.backlogged = false;
        way.run(20s);
        CHECK_FALSE(way.bound.limit_bytes());
    }
}

TEST_CASE("a bound of what is in flight") {
    long_path way;
    way.run(5s);
    REQUIRE(way.bound.limit_bytes());

    SECTION("grows with the path") {
        way.bytes_per_second *= 3;
        way.window_bytes *= 3;
        way.run(20s);
        CHECK(way.full_rate());
        CHECK(way.queue_seconds() < 0.03);
    }
    SECTION("follows a path that becomes slower") {
        way.bytes_per_second /= 4;
        way.run(2min);
        CHECK(way.full_rate());
    }
    SECTION("is what the path needs, also where it was set too low") {
        // The queue stood while little was sent, as where a radio link is busy with others.
        long_path slow;
        slow.bytes_per_second = 1e6;
        slow.run(2s);
        REQUIRE(slow.bound.limit_bytes());
        slow.bytes_per_second = 12.5e6;
        slow.run(20s);
        CHECK(slow.full_rate());
    }
    SECTION("gives way where bursts need more, until the path is full") {
        way.floor_bytes = 1.2 * way.full();
        way.run(10s);
        CHECK(way.rate() > 0.9 * way.bytes_per_second);
    }
    SECTION("gives way where others fill the queue") {
        way.others_bytes = 2 * way.full();
        way.run(30s);
        CHECK(way.in_flight() > 0.9 * way.window_bytes);
    }
    SECTION("is not judged while the congestion control allows less") {
        const auto limit = *way.bound.limit_bytes();
        const auto window = way.window_bytes;
        for (int i = 0; i < 10; ++i) {
            way.window_bytes = 5'792; // BBR's four packets.
            way.run(300ms);
            way.window_bytes = window;
            way.run(1500ms);
        }
        CHECK(std::abs(static_cast<double>(*way.bound.limit_bytes()) - static_cast<double>(limit)) <
              0.3 * static_cast<double>(limit));
        CHECK(way.queue_seconds() < 0.03);
    }
    SECTION("hardly moves where nothing changes") {
        double queue = 0;
        for (int i = 0; i < 600; ++i) {
            way.run(100ms);
            queue += way.queue_seconds() / 600;
            REQUIRE(way.full_rate());
        }
        CHECK(queue < 0.015);
    }
}

TEST_CASE("whether more in flight carries more") {
    long_path way;
    way.rtt_min = 40ms;
    way.rtt = 0.04;
    way.window_bytes = 3 * way.full();
    way.run(1s);
    REQUIRE(way.bound.limit_bytes());
    const auto usual = static_cast<double>(*way.bound.limit_bytes());
    const auto is_tried = [&] {
        return static_cast<double>(*way.bound.limit_bytes()) > 1.08 * usual;
    };

    SECTION("is tried for no longer than a round trip, and the rarer the more often in vain") {
        int tries = 0;
        for (int second = 0; second < 64; ++second) {
            int tried = 0;
            for (int i = 0; i < 1000; ++i) {
                const bool before = is_tried();
                way.run(1ms);
                if (!before && is_tried()) ++tries;
                tried += is_tried();
            }
            CHECK(tried < 60);
            if (second == 31) CHECK((tries >= 3 && tries <= 5));
        }
        CHECK(tries >= 5);
        CHECK(tries <= 7);
    }
    SECTION("is found out where the path has changed") {
        way.run(60s); // In vain.
        way.floor_bytes = 1.3 * usual;
        way.run(1s);
        const auto before = way.delivered;
        way.run(10s);
        CHECK(way.delivered - before > 0.87 * 10 * way.bytes_per_second);
    }
    SECTION("is not seen in what a pause has emptied and fills") {
        const auto window = way.window_bytes;
        for (int i = 0; i < 200; ++i) {
            way.run(200ms + i * 1ms);
            way.window_bytes = 5'792;
            way.run(50ms);
            way.window_bytes = window;
            for (int j = 0; j < 200; ++j) {
                way.run(1ms);
                REQUIRE(static_cast<double>(*way.bound.limit_bytes()) < 1.2 * usual);
            }
        }
    }
}

TEST_CASE("how fast a bounded link sends") {
    long_path way;

    SECTION("is its own matter while there is no bound") {
        CHECK_FALSE(way.bound.pace_bytes_per_second());
    }
    SECTION("is above what the path carries, but not by much") {
        way.run(5s);
        REQUIRE(way.bound.pace_bytes_per_second());
        CHECK(*way.bound.pace_bytes_per_second() > 1.05 * way.bytes_per_second);
        CHECK(*way.bound.pace_bytes_per_second() < 1.3 * way.bytes_per_second);
    }
    SECTION("grows with what may be in flight") {
        way.run(5s);
        way.bytes_per_second *= 3;
        way.window_bytes *= 3;
        way.run(20s);
        CHECK(*way.bound.pace_bytes_per_second() > 1.05 * way.bytes_per_second);
    }
}

TEST_CASE("a congestion control that feels its way up begins anew") {
    long_path way;

    SECTION("where no queue stands") {
        way.window_bytes = way.full() / 8;
        for (int i = 0; i < 24; ++i) { // A quarter in eight round trips, as BBR.
            way.run(100ms);
            way.window_bytes *= std::pow(1.25, 1.0 / 8);
        }
        CHECK(way.restarts >= 1);
    }
    SECTION("seldom where that does not help") {
        way.window_bytes = way.full() / 100;
        way.run(60s);
        CHECK(way.restarts >= 3);
        CHECK(way.restarts <= 6);
    }
    SECTION("but not in its first climb") {
        way.window_bytes = way.full() / 1000;
        for (int i = 0; i < 24; ++i) {
            way.run(100ms);
            way.window_bytes *= 1.33;
        }
        CHECK(way.restarts == 0);
    }
    SECTION("nor where it looks for more and finds a queue") {
        way.window_bytes = way.full();
        for (int i = 0; i < 30; ++i) {
            way.run(700ms);
            way.window_bytes *= 1.25;
            way.run(200ms);
            way.window_bytes /= 1.25;
        }
        CHECK(way.restarts == 0);
    }
}
