#include "protocol/bulk_meter.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kib = 1024;

/// A stream that moves so many bytes every tenth of a second.
struct metered {
    bulk_meter meter;
    instant now{1h};

    bool move(std::uint64_t bytes_each, int times,
              std::uint32_t bulk_bytes = bulk_meter::usual_bytes) {
        for (int i = 0; i < times; ++i, now += 100ms)
            meter.on_moved(bytes_each, now);
        return meter.update(now, bulk_bytes);
    }
};

} // namespace

TEST_CASE("a stream that moves bytes") {
    metered stream;

    SECTION("is not bulk at first") { CHECK_FALSE(stream.meter.update(stream.now)); }
    SECTION("is bulk once it has moved a MiB in two seconds, and not with less") {
        CHECK_FALSE(stream.move(1024 * kib - 1, 1));
        CHECK(stream.move(1, 1));
    }
    SECTION("is not bulk when it needs longer") {
        CHECK_FALSE(stream.move(48 * kib, 100)); // 480 KiB a second
    }
    SECTION("is bulk for less where less is asked for") {
        CHECK(stream.move(40 * kib, 100, 512 * kib));
    }
    SECTION("that pauses is bulk until two seconds have passed") {
        REQUIRE(stream.move(1024 * kib, 1));
        CHECK(stream.meter.update(stream.now + 1400ms));
        CHECK_FALSE(stream.meter.update(stream.now + 2000ms));
    }
    SECTION("that becomes slower stays bulk down to half of what made it so") {
        REQUIRE(stream.move(100 * kib, 30));
        CHECK(stream.move(35 * kib, 50)); // 700 KiB in two seconds
        CHECK_FALSE(stream.move(20 * kib, 50));
    }
    SECTION("is judged anew after a long silence") {
        REQUIRE(stream.move(1024 * kib, 3));
        stream.now += 24h;
        CHECK_FALSE(stream.meter.update(stream.now));
        CHECK(stream.meter.moved_bytes() == 0);
    }
    SECTION("is bulk at once after a surge, and for two seconds behind the last") {
        stream.meter.on_surge(stream.now);
        CHECK(stream.meter.bulk());
        CHECK(stream.meter.update(stream.now + 250ms));
        stream.meter.on_surge(stream.now + 1s);
        CHECK(stream.meter.update(stream.now + 2900ms));
        CHECK_FALSE(stream.meter.update(stream.now + 3s));
    }
    SECTION("does not overflow") {
        stream.move(std::uint64_t{1} << 40, 3);
        CHECK(stream.meter.bulk());
        CHECK_FALSE(stream.meter.update(stream.now + 2s));
    }
}

TEST_CASE("a stream whose bytes wait for the link") {
    metered stream;
    auto& meter = stream.meter;
    auto& now = stream.now;

    SECTION("is bulk after one second of two, though it moves little") {
        meter.on_waiting(true, now);
        CHECK_FALSE(meter.update(now + 999ms));
        CHECK(meter.update(now + 1000ms));
    }
    SECTION("may wait in pieces, each shorter than a span") {
        for (int i = 0; i < 19; ++i, now += 100ms) {
            meter.on_waiting(true, now);
            meter.on_waiting(false, now + 70ms);
        }
        CHECK(meter.update(now));
    }
    SECTION("is not bulk when it waits now and then") {
        for (int i = 0; i < 200; ++i, now += 100ms) {
            meter.on_waiting(true, now);
            meter.on_waiting(false, now + 30ms);
            CHECK_FALSE(meter.update(now + 100ms));
        }
    }
    SECTION("counts waits of less than a millisecond together") {
        for (int i = 0; i < 4000; ++i, now += 500us) {
            meter.on_waiting(true, now);
            meter.update(now + 400us);
        }
        CHECK(meter.bulk());
    }
    SECTION("is bulk at once when nobody asked for long") {
        meter.on_waiting(true, now);
        CHECK(meter.update(now + 1h));
    }
    SECTION("is bulk no more two seconds after the last wait") {
        meter.on_waiting(true, now);
        REQUIRE(meter.update(now + 1500ms));
        meter.on_waiting(false, now + 1500ms);
        CHECK_FALSE(meter.update(now + 3500ms));
    }
    SECTION("that says twice that it waits has waited once") {
        meter.on_waiting(true, now);
        meter.on_waiting(true, now + 900ms);
        CHECK(meter.update(now + 1000ms));
    }
}
