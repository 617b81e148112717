#include "protocol/surge_meter.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kib = 1024;

/// Datagrams, and whether any of them made much.
bool send(surge_meter& meter, instant& now, std::uint32_t bytes, duration each, int times) {
    bool much = false;
    for (int i = 0; i < times; ++i, now += each)
        much = meter.on_moved(bytes, now) || much;
    return much;
}

} // namespace

TEST_CASE("an association sends much at once") {
    surge_meter meter;
    instant now{1h};

    SECTION("with 64 KiB in a tenth of a second, and not with less") {
        CHECK_FALSE(send(meter, now, kib, 0ms, 63));
        CHECK(send(meter, now, kib, 0ms, 1));
    }
    SECTION("in a round trip or two of a flow that doubles") {
        CHECK_FALSE(send(meter, now, 1'200, 3ms, 10));
        CHECK_FALSE(send(meter, now, 1'200, 1ms, 20));
        CHECK(send(meter, now, 1'200, 500us, 40));
    }
    SECTION("as long as it does") {
        CHECK(send(meter, now, 64 * kib, 0ms, 1));
        CHECK(send(meter, now, 1, 10ms, 10));
        CHECK_FALSE(send(meter, now, 1, 10ms, 20));
    }
    SECTION("not with voice, nor with video of 4 Mbit/s") {
        CHECK_FALSE(send(meter, now, 40, 20ms, 10'000));
        CHECK_FALSE(send(meter, now, 1'000, 2ms, 100'000));
    }
    SECTION("however much it is") {
        CHECK(send(meter, now, 65'507, 0ms, 100));
        now += 100ms;
        CHECK_FALSE(send(meter, now, 1'200, 0ms, 1));
    }
}

TEST_CASE("a surge's meter takes four bytes of a stream") { CHECK(sizeof(surge_meter) == 4); }
