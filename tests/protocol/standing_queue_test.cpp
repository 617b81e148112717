#include "protocol/standing_queue.hpp"

#include "tests/catch.hpp"

#include <cmath>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

/// A path of one narrow place with a queue in front, in steps of a millisecond, and a TCP that
/// fills the queue unless it is bounded. Another flow may fill it too.
struct path {
    double bytes_per_second = 10e6;
    duration rtt_min = 20ms;
    double queue_bytes = 1e6; ///< Room in the queue.
    double others_bytes = 0;  ///< Of it, taken by another flow, which gives nothing up.
    double floor_bytes = 0;   ///< With less under way the path is not full, for bursts.
    bool messages = true;     ///< Whether small messages go out besides.
    bool backlogged = true;   ///< Whether there always is something to send.
    standing_queue bounds{416 * 1024};
    instant now{1h};
    double delivered = 0;
    double rtt = 0.02; ///< Smoothed, seconds.

    double under_way() const {
        const auto all = bytes_per_second * std::chrono::duration<double>(rtt_min).count() +
                         queue_bytes - others_bytes;
        const auto limit = bounds.limit_bytes();
        return limit ? std::min(all, static_cast<double>(*limit)) : all;
    }
    /// What we get: all that the path carries, or our share of what is under way.
    double rate() const {
        const auto base = std::chrono::duration<double>(rtt_min).count();
        const auto total = under_way() + others_bytes;
        const auto bdp = bytes_per_second * base;
        const auto carried = std::min(1.0, total / std::max(bdp, floor_bytes)) * bytes_per_second;
        return carried * under_way() / total;
    }
    double queue_seconds() const {
        const auto base = std::chrono::duration<double>(rtt_min).count();
        return std::max(0.0, (under_way() + others_bytes) / bytes_per_second - base);
    }
    void run(duration time) {
        for (const auto end = now + time; now < end; now += 1ms) {
            delivered += rate() / 1000;
            const auto base = std::chrono::duration<double>(rtt_min).count();
            rtt += (base + queue_seconds() - rtt) / 8;
            if (messages && now.time_since_epoch() % 100ms == 0ms) bounds.on_small_message();
            if (!backlogged) bounds.on_idle();
            if (bounds.wants_sample(now))
                bounds.on_sample({static_cast<std::uint64_t>(delivered),
                                  duration(static_cast<std::int64_t>(rtt * 1e9)), rtt_min},
                                 now);
        }
    }
};

template <typename Number>
bool near(Number value, Number expected, double part = 0.001) {
    return std::abs(static_cast<double>(value) - static_cast<double>(expected)) <=
           part * static_cast<double>(expected);
}

} // namespace

TEST_CASE("a queue that stands on the path") {
    path way;

    SECTION("is left alone while only bulk is sent") {
        way.messages = false;
        way.run(20s);
        CHECK_FALSE(way.bounds.limit_bytes());
    }
    SECTION("is cut to a little when others send too, and the path stays full") {
        CHECK(near(way.queue_seconds(), 0.1));
        way.run(3s);
        CHECK(way.bounds.limit_bytes());
        CHECK(way.queue_seconds() < 0.005);
        CHECK(near(way.rate(), way.bytes_per_second));
    }
    SECTION("is cut on a short and fast path to a millisecond") {
        way.bytes_per_second = 100e6;
        way.rtt_min = 50us;
        way.queue_bytes = 192e3;
        way.run(3s);
        CHECK(way.queue_seconds() < 0.001);
        CHECK(near(way.rate(), way.bytes_per_second));
    }
    SECTION("is left alone again five seconds after the others fell silent") {
        way.run(3s);
        way.messages = false;
        way.run(4s);
        CHECK(way.bounds.limit_bytes());
        way.run(2s);
        CHECK_FALSE(way.bounds.limit_bytes());
    }
    SECTION("is left alone where there is none") {
        way.queue_bytes = 10e3;
        way.run(20s);
        CHECK_FALSE(way.bounds.limit_bytes());
    }
    SECTION("is left alone where the socket cannot be bounded as high as the path needs") {
        way.rtt_min = 100ms;
        way.run(20s);
        CHECK_FALSE(way.bounds.limit_bytes());
    }
    SECTION("is left alone where there is not always something to send") {
        way.backlogged = false;
        way.run(20s);
        CHECK_FALSE(way.bounds.limit_bytes());
    }
    SECTION("is left alone on links so fast that it is gone in no time") {
        way.bytes_per_second = 300e6;
        way.rtt_min = 50us;
        way.run(20s);
        CHECK_FALSE(way.bounds.limit_bytes());
    }
}

TEST_CASE("a path whose queue is bounded") {
    path way;
    way.run(3s);
    REQUIRE(way.bounds.limit_bytes());

    SECTION("that becomes faster is filled again") {
        way.bytes_per_second *= 1.6;
        way.run(10s);
        CHECK(near(way.rate(), way.bytes_per_second));
        CHECK(way.queue_seconds() < 0.01);
    }
    SECTION("that becomes slower has a short queue again") {
        way.bytes_per_second /= 4;
        way.run(75s);
        CHECK(near(way.rate(), way.bytes_per_second));
        CHECK(way.bounds.limit_bytes());
        CHECK(way.queue_seconds() < 0.02);
    }
}

TEST_CASE("a bound that costs throughput") {
    path way;

    SECTION("because bursts need a longer queue gives way until the path is full") {
        way.floor_bytes = 250e3; // 200 KB are the bandwidth-delay product.
        way.run(10s);
        CHECK(way.bounds.limit_bytes());
        CHECK(way.rate() > 0.94 * way.bytes_per_second);
        CHECK(way.queue_seconds() < 0.05);
    }
    SECTION("because others fill the queue too is given up for a minute") {
        way.others_bytes = 500e3;
        const auto free = way.rate();
        way.run(10s);
        CHECK_FALSE(way.bounds.limit_bytes());
        CHECK(near(way.rate(), free));
        int bounded = 0;
        for (int i = 0; i < 50; ++i) {
            way.run(1s);
            bounded += way.bounds.limit_bytes().has_value();
        }
        CHECK(bounded == 0);
        const auto before = way.delivered;
        way.run(600s);
        CHECK(way.delivered - before > 0.9 * 600 * free);
    }
}

TEST_CASE("what may wait unsent") {
    path way;
    way.messages = false;

    SECTION("is a whole turn until more is known") {
        CHECK(way.bounds.unsent_bytes() == standing_queue::unsent_max);
    }
    SECTION("is one record on a slow link") {
        way.run(1s);
        CHECK(way.bounds.unsent_bytes() == standing_queue::unsent_min);
    }
    SECTION("is half a turn at 100 MB/s") {
        way.bytes_per_second = 100e6;
        way.rtt_min = 1ms;
        way.run(1s);
        CHECK(near(way.bounds.unsent_bytes(), standing_queue::unsent_max / 2, 0.02));
    }
    SECTION("is a whole turn on a fast link") {
        way.bytes_per_second = 400e6;
        way.rtt_min = 1ms;
        way.run(1s);
        CHECK(way.bounds.unsent_bytes() == standing_queue::unsent_max);
    }
    SECTION("is a whole turn again a second after the path took all there was") {
        way.run(1s);
        way.backlogged = false;
        way.run(500ms);
        CHECK(way.bounds.unsent_bytes() == standing_queue::unsent_min);
        way.run(1s);
        CHECK(way.bounds.unsent_bytes() == standing_queue::unsent_max);
    }
}
