#include "protocol/link/loop/deadlines.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

#include <memory>
#include <optional>
#include <string>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

TEST_CASE("deadlines") {
    asio::io_context context(1);
    std::optional<deadlines> clock(std::in_place, context);
    std::string order;
    const auto append = [&order](char c) { return [&order, c] { order += c; }; };

    SECTION("expire in the order of their times, whatever the order of setting") {
        deadline a(*clock, append('a'));
        deadline b(*clock, append('b'));
        deadline c(*clock, append('c'));
        c.expires_after(30ms);
        a.expires_after(10ms);
        b.expires_after(20ms);
        CHECK(run_until(context, [&] { return order == "abc"; }));
        CHECK_FALSE(a.is_set());
    }
    SECTION("are not called from where they are set, even if they are over") {
        deadline a(*clock, append('a'));
        a.expires_at(deadline::clock::now() - 1s);
        CHECK(order.empty());
        CHECK(run_until(context, [&] { return order == "a"; }));
    }
    SECTION("do not expire after cancel()") {
        deadline a(*clock, append('a'));
        deadline b(*clock, append('b'));
        a.expires_after(1ms);
        b.expires_after(20ms);
        a.cancel();
        CHECK(run_until(context, [&] { return !order.empty(); }));
        CHECK(order == "b");
    }
    SECTION("do not expire after their destruction") {
        auto a = std::make_unique<deadline>(*clock, append('a'));
        deadline b(*clock, append('b'));
        a->expires_after(1ms);
        b.expires_after(20ms);
        a.reset();
        CHECK(run_until(context, [&] { return !order.empty(); }));
        CHECK(order == "b");
    }
    SECTION("that are moved expire once, at the new time") {
        deadline a(*clock, append('a'));
        deadline b(*clock, append('b'));
        deadline c(*clock, append('c'));
        a.expires_after(1ms);
        b.expires_after(20ms);
        a.expires_after(40ms);
        c.expires_after(60ms);
        CHECK(run_until(context, [&] { return order.size() == 3; }));
        CHECK(order == "bac");
    }
    SECTION("may be set again by their own expiry") {
        int left = 3;
        std::optional<deadline> a;
        a.emplace(*clock, [&] {
            order += 'a';
            if (--left > 0) a->expires_after(1ms);
        });
        a->expires_after(1ms);
        CHECK(run_until(context, [&] { return order == "aaa"; }));
        CHECK_FALSE(a->is_set());
    }
    SECTION("may be destroyed by their own expiry") {
        struct holder {
            deadlines& clock;
            std::string& order;
            std::unique_ptr<holder>& self;
            deadline mine{clock, [this] {
                              order += 'x';
                              self.reset();
                          }};
        };
        std::unique_ptr<holder> self;
        self.reset(new holder{*clock, order, self});
        self->mine.expires_after(1ms);
        CHECK(run_until(context, [&] { return order == "x" && !self; }));
    }
    SECTION("are silent when the timer is destroyed before them") {
        deadline a(*clock, append('a'));
        a.expires_after(1ms);
        // By now the wait may be over, and its handler queued.
        const auto over = deadline::clock::now() + 5ms;
        while (deadline::clock::now() < over) {
        }
        clock.reset();
        run_ready(context);
        CHECK(order.empty());
        CHECK_FALSE(a.is_set());
    }
    SECTION("may destroy the timer, which ends the ones that are due too") {
        deadline a(*clock, [&] {
            order += 'a';
            clock.reset();
        });
        deadline b(*clock, append('b'));
        a.expires_at(deadline::clock::now());
        b.expires_at(deadline::clock::now());
        CHECK(run_until(context, [&] { return order == "a"; }));
        run_ready(context);
        CHECK(order == "a");
    }
}
