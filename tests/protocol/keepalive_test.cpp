#include "protocol/keepalive.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr instant start{1h};

} // namespace

TEST_CASE("keepalive") {
    keepalive watch({15s, 10s});
    watch.on_link(start);

    SECTION("sends a PING after 15 s of silence") {
        CHECK(watch.deadline() == start + 15s);
        watch.update(start + 15s - 1ns);
        CHECK_FALSE(watch.ping_due());
        watch.update(start + 15s);
        CHECK(watch.ping_due());
        watch.on_ping_sent(start + 15s);
        CHECK_FALSE(watch.ping_due());
    }
    SECTION("finds the peer dead after 10 s more") {
        watch.update(start + 15s);
        watch.on_ping_sent(start + 15s);
        CHECK(watch.deadline() == start + 25s);
        CHECK_FALSE(watch.dead(start + 25s - 1ns));
        CHECK(watch.dead(start + 25s));
    }
    SECTION("counts from when the PING was due, though it never left") {
        watch.update(start + 15s);
        CHECK(watch.dead(start + 25s));
    }
    SECTION("measures no silence from a PING that only asks") {
        watch.ask();
        CHECK(watch.ping_due());
        watch.on_ping_sent(start + 1s);
        CHECK(watch.deadline() == start + 15s);
        watch.ask(); // One is out.
        CHECK_FALSE(watch.ping_due());
        CHECK(watch.on_pong(1, start + 2s));
        watch.ask();
        watch.probe();
        watch.on_ping_sent(start + 3s);
        CHECK(watch.dead(start + 13s));
    }
    SECTION("takes any byte for life") {
        watch.update(start + 15s);
        watch.on_ping_sent(start + 15s);
        watch.on_bytes(start + 24s);
        CHECK_FALSE(watch.dead(start + 25s));
        CHECK(watch.deadline() == start + 39s);
        CHECK(watch.last_heard() == start + 24s);
    }
    SECTION("takes bytes for life that are no whole record yet") {
        watch.update(start + 15s);
        watch.on_path(start + 20s, {});
        CHECK_FALSE(watch.dead(start + 25s));
        CHECK(watch.last_heard() == start + 20s);
        CHECK(watch.deadline() == start + 35s);
    }
    SECTION("lets the time for an answer begin when what stands before the PING has arrived") {
        watch.update(start + 15s);
        watch.on_ping_sent(start + 15s);
        watch.on_path({}, start + 24s);
        CHECK_FALSE(watch.dead(start + 34s - 1ns));
        CHECK(watch.dead(start + 34s));
    }
    SECTION("does not care for what the path did before") {
        watch.update(start + 15s);
        watch.on_path(start - 1s, start + 14s);
        CHECK(watch.dead(start + 25s));
    }
    SECTION("forgets all that on a new link") {
        watch.update(start + 15s);
        watch.on_link(start + 20s);
        CHECK_FALSE(watch.ping_due());
        CHECK_FALSE(watch.dead(start + 34s));
        CHECK(watch.deadline() == start + 35s);
    }
    SECTION("does not count silence while reading stood still") {
        watch.update(start + 15s);
        watch.on_ping_sent(start + 15s);
        watch.forgive(start + 25s);
        CHECK_FALSE(watch.dead(start + 25s));
        CHECK(watch.deadline() == start + 40s);
    }
    SECTION("probes at once when asked to, and then expects an answer") {
        watch.probe();
        CHECK(watch.ping_due());
        watch.on_ping_sent(start + 1s);
        CHECK(watch.deadline() == start + 11s);
        CHECK(watch.dead(start + 11s));
    }
    SECTION("may get other times") {
        watch.set({2s, 1s});
        CHECK(watch.deadline() == start + 2s);
    }
}

TEST_CASE("the round-trip time") {
    keepalive watch({15s, 10s});
    watch.on_link(start);

    SECTION("is nothing before it was measured") { CHECK(watch.rtt() == 0s); }
    SECTION("is that of the handshake at first") {
        watch.seed_rtt(80ms);
        CHECK(watch.rtt() == 80ms);
    }
    SECTION("is measured by the token of a PING") {
        watch.seed_rtt(80ms);
        const auto token = watch.on_ping_sent(start);
        watch.on_pong(token, start + 40ms);
        CHECK(watch.rtt() == 40ms);
        watch.seed_rtt(80ms);
        CHECK(watch.rtt() == 40ms);
    }
    SECTION("moves by an eighth with each sample") {
        watch.on_pong(watch.on_ping_sent(start), start + 80ms);
        watch.on_pong(watch.on_ping_sent(start + 1s), start + 1s + 160ms);
        CHECK(watch.rtt() == 90ms);
    }
    SECTION("is not measured by another token, nor twice") {
        const auto token = watch.on_ping_sent(start);
        watch.on_pong(token + 1, start + 40ms);
        CHECK(watch.rtt() == 0s);
        watch.on_pong(token, start + 50ms);
        watch.on_pong(token, start + 500ms);
        CHECK(watch.rtt() == 50ms);
    }
    SECTION("is measured every 1.5 s while bulk flows") {
        watch.on_pong(watch.on_ping_sent(start), start + 1ms);
        watch.on_bulk(start + 1499ms);
        CHECK_FALSE(watch.ping_due());
        watch.on_bulk(start + 1500ms);
        CHECK(watch.ping_due());
        watch.on_ping_sent(start + 1500ms);
        watch.on_bulk(start + 4s); // Still unanswered.
        CHECK_FALSE(watch.ping_due());
    }
}
