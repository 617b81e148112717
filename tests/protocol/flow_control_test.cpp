#include "protocol/flow_control.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kib = 1'024;
constexpr instant start{1h};

} // namespace

TEST_CASE("what the peer has granted") {
    send_window window(100);
    SECTION("is used up by what is sent") {
        CHECK(window.available() == 100);
        window.on_sent(40);
        CHECK(window.available() == 60);
        CHECK(window.sent() == 40);
        window.on_sent(60);
        CHECK(window.available() == 0);
    }
    SECTION("is an absolute limit") {
        window.on_sent(40);
        CHECK(window.on_credit(150));
        CHECK(window.limit() == 150);
        CHECK(window.available() == 110);
    }
    SECTION("never falls, nor is it granted twice") {
        CHECK_FALSE(window.on_credit(100));
        CHECK_FALSE(window.on_credit(99));
        CHECK_FALSE(window.on_credit(0));
        CHECK(window.available() == 100);
    }
    SECTION("may be as large as 2^62") {
        CHECK(window.on_credit(std::uint64_t{1} << 62));
        window.on_sent(100);
        CHECK(window.available() == (std::uint64_t{1} << 62) - 100);
    }
}

TEST_CASE("what we have granted") {
    receive_window window(256 * kib);
    SECTION("is the window at first") {
        CHECK(window.announced() == 256 * kib);
        CHECK(window.accepts(256 * kib));
        CHECK_FALSE(window.accepts(256 * kib + 1));
    }
    SECTION("counts what arrives, not what is read") {
        window.on_received(200 * kib);
        window.on_consumed(200 * kib);
        CHECK(window.unread() == 0);
        CHECK(window.accepts(56 * kib));
        CHECK_FALSE(window.accepts(56 * kib + 1));
    }
    SECTION("moves with what is consumed, not with what arrives") {
        window.on_received(256 * kib);
        CHECK(window.unread() == 256 * kib);
        CHECK_FALSE(window.credit_due());
        window.on_consumed(100 * kib);
        CHECK(window.unread() == 156 * kib);
        CHECK(window.announce() == 356 * kib);
    }
}

TEST_CASE("CREDIT is due") {
    receive_window window(256 * kib);
    SECTION("when the grant has moved by a quarter of the window") {
        window.on_received(200 * kib);
        window.on_consumed(64 * kib - 1);
        CHECK_FALSE(window.credit_due());
        window.on_consumed(1);
        CHECK(window.credit_due());
        window.announce();
        CHECK_FALSE(window.credit_due());
    }
    SECTION("when it has moved by 256 KiB, however large the window") {
        window.set_window(64 * 1'024 * kib, start);
        window.announce();
        window.on_received(1'024 * kib);
        window.on_consumed(256 * kib - 1);
        CHECK_FALSE(window.credit_due());
        window.on_consumed(1);
        CHECK(window.credit_due());
    }
    SECTION("sooner when the sender is dry") {
        window.on_received(256 * kib);
        window.on_consumed(32 * kib - 1);
        CHECK_FALSE(window.credit_due());
        window.on_consumed(1);
        CHECK(window.credit_due());
    }
    SECTION("at the latest when everything that was granted is consumed") {
        for (const std::uint64_t size : {1, 2, 3, 7, 8, 63, 64, 1'000}) {
            receive_window small(size);
            small.on_received(size);
            small.on_consumed(size);
            CHECK(small.credit_due());
        }
    }
    SECTION("not after the window has shrunk below the limit") {
        window.set_window(1'024 * kib, start);
        window.announce();
        window.set_window(256 * kib, start);
        CHECK_FALSE(window.credit_due());
        CHECK(window.announce() == 1'024 * kib); // It never falls.
    }
}

TEST_CASE("the window should double") {
    receive_window window(300 * kib);
    window.wants_growth(start, 100ms); // The period begins.
    window.on_received(300 * kib);

    SECTION("when a third of it is consumed within one round trip") {
        window.on_consumed(100 * kib - 1);
        CHECK_FALSE(window.wants_growth(start + 50ms, 100ms));
        window.on_consumed(1);
        CHECK(window.wants_growth(start + 100ms, 100ms));
    }
    SECTION("not when that took longer") {
        window.on_consumed(60 * kib);
        CHECK_FALSE(window.wants_growth(start + 101ms, 100ms));
        // A new period has begun, to which the 60 KiB do not belong.
        window.on_consumed(60 * kib);
        CHECK_FALSE(window.wants_growth(start + 150ms, 100ms));
        window.on_consumed(40 * kib);
        CHECK(window.wants_growth(start + 160ms, 100ms));
    }
    SECTION("and then begins to measure anew") {
        window.on_consumed(100 * kib);
        CHECK(window.wants_growth(start + 10ms, 100ms));
        window.set_window(600 * kib, start + 10ms);
        CHECK(window.window() == 600 * kib);
        window.on_consumed(100 * kib);
        CHECK_FALSE(window.wants_growth(start + 20ms, 100ms));
        window.on_consumed(100 * kib);
        CHECK(window.wants_growth(start + 30ms, 100ms));
    }
}
