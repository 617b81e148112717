#include "client/link_policy.hpp"

#include "tests/catch.hpp"
#include "tests/client/line_model.hpp"

using namespace muxsocks;
using namespace muxsocks::client;
using namespace std::chrono_literals;

namespace {

using dial_state = link_policy::dial_state;
using link_state = link_policy::link_state;
using failure = link_policy::failure;

constexpr instant start{1h};

progress_facts idle_link() {
    progress_facts facts;
    facts.path.acked_bytes = facts.path.delivered = facts.path.received_bytes = 1000;
    return facts;
}

/// A policy whose link is up, at the time `start`.
link_policy up_policy(const progress_facts& at_first = idle_link()) {
    link_policy policy(1);
    policy.set_resumable(true);
    policy.start(start);
    policy.on_connected(start);
    policy.on_secured(false, start);
    policy.on_up(at_first, start);
    return policy;
}

/// Looks once a second at the same facts; the first orders that are not empty, and when.
std::pair<link_policy::orders, instant> watch(link_policy& policy, const progress_facts& facts,
                                              instant from, duration most) {
    for (auto now = from; now <= from + most; now += 1s) {
        const auto orders = policy.look(&facts, nullptr, now);
        if (orders.dial || orders.probe || orders.give_up) return {orders, now};
    }
    return {{}, from + most};
}

/// Fails the dial that is under way and waits for the next; how long that took.
duration fail_and_wait(link_policy& policy, failure kind, instant& now) {
    policy.on_dial_failed(kind, nullptr, now);
    REQUIRE(policy.dial() == dial_state::waiting);
    const auto before = now;
    now = std::max(now, *policy.deadline());
    CHECK(policy.on_deadline(now).dial);
    return now - before;
}

} // namespace

TEST_CASE("a policy that was told to start") {
    link_policy policy(1);
    CHECK(policy.start(start).dial);
    CHECK(policy.dial() == dial_state::connecting);

    SECTION("dials once") { CHECK_FALSE(policy.start(start).dial); }
    SECTION("goes from step to step") {
        policy.on_connected(start);
        CHECK(policy.dial() == dial_state::securing);
        policy.on_secured(false, start);
        CHECK(policy.dial() == dial_state::beginning);
        CHECK_FALSE(policy.start(start).dial);
        policy.on_up(idle_link(), start);
        CHECK(policy.dial() == dial_state::idle);
        CHECK(policy.link() == link_state::up);
        CHECK_FALSE(policy.start(start).dial);
    }
    SECTION("ends a TLS handshake that stands still") {
        policy.on_connected(start);
        CHECK(policy.deadline() == start + 5s);
        CHECK_FALSE(policy.on_deadline(start + 5s - 1ms).time_out);
        CHECK(policy.on_deadline(start + 5s).time_out);
    }
    SECTION("lets a handshake that moves take four times as long") {
        policy.on_connected(start);
        path_facts path;
        auto now = start;
        while (now < start + 30s && !policy.on_deadline(now).time_out) {
            now += 1s;
            path.received_bytes += 500;
            policy.look(nullptr, &path, now);
        }
        CHECK(now == start + 20s);
    }
}

TEST_CASE("dials that fail") {
    link_policy policy(1);
    policy.start(start);
    auto now = start;

    SECTION("are repeated after pauses of U(0, 250 ms), U(0, 500 ms), and so on to 30 s") {
        auto most = link_policy::back_off_first;
        for (int i = 0; i < 12; ++i) {
            CHECK(fail_and_wait(policy, failure::passing, now) <= most);
            most = std::min(2 * most, link_policy::back_off_max);
        }
        CHECK(policy.failures() == 12);
        CHECK_FALSE(policy.refuses());
    }
    SECTION("are repeated within two seconds when a request waits") {
        for (int i = 0; i < 9; ++i)
            fail_and_wait(policy, failure::passing, now);
        for (int i = 0; i < 20; ++i) {
            policy.on_dial_failed(failure::passing, nullptr, now);
            policy.hurry(now);
            CHECK(*policy.deadline() - now <= 2s);
            now = *policy.deadline();
            policy.on_deadline(now);
        }
    }
    SECTION("for good refuse requests, and are not hurried") {
        for (int i = 0; i < 9; ++i)
            fail_and_wait(policy, failure::lasting, now);
        CHECK(policy.refuses());
        bool hurried = true;
        for (int i = 0; i < 20; ++i) {
            policy.on_dial_failed(failure::lasting, nullptr, now);
            policy.hurry(now);
            hurried = hurried && *policy.deadline() - now <= 2s;
            now = *policy.deadline();
            policy.on_deadline(now);
        }
        CHECK_FALSE(hurried);
    }
    SECTION("refuse nothing any more once something else is wrong, or nothing") {
        fail_and_wait(policy, failure::lasting, now);
        REQUIRE(policy.refuses());
        SECTION("another failure") {
            policy.on_dial_failed(failure::passing, nullptr, now);
            CHECK_FALSE(policy.refuses());
        }
        SECTION("success") {
            policy.on_connected(now);
            policy.on_secured(false, now);
            CHECK(policy.refuses());
            policy.on_up(idle_link(), now);
            CHECK_FALSE(policy.refuses());
        }
    }
    SECTION("are begun anew when the network has changed") {
        const auto orders = policy.suspect("the network has changed", now);
        CHECK(orders.abandon);
        CHECK(orders.dial);
        policy.on_dial_failed(failure::passing, nullptr, now);
        const auto again = policy.suspect("the network has changed", now);
        CHECK_FALSE(again.abandon);
        CHECK(again.dial);
    }
}

TEST_CASE("a link that is lost") {
    auto facts = idle_link();
    auto policy = up_policy(facts);

    SECTION("is dialled at once if something had come through it") {
        facts.frames_received = 1;
        CHECK(policy.on_link_lost(facts, start + 2s).dial);
    }
    SECTION("is dialled at once if it had stood for 30 s") {
        CHECK(policy.on_link_lost(facts, start + 30s).dial);
    }
    SECTION("is dialled with back-off if it ends each time as soon as it is up") {
        auto now = start;
        int dials = 0;
        for (; now < start + 60s; ++dials) {
            if (!policy.on_link_lost(facts, now).dial) {
                now = *policy.deadline();
                CHECK(policy.on_deadline(now).dial);
            }
            policy.on_connected(now);
            policy.on_secured(true, now);
            policy.on_up(facts, now);
        }
        CHECK(dials < 20);
        CHECK(policy.fruitless() > 5);
    }
    SECTION("is dialled at once each time if the next one tells that much had arrived") {
        auto now = start;
        for (int i = 0; i < 20; ++i, now += 300ms) {
            CHECK(policy.on_link_lost(facts, now).dial);
            policy.on_connected(now);
            policy.on_secured(true, now);
            ++facts.frames_acked;
            policy.on_up(facts, now);
        }
    }
    SECTION("is not dialled while another one is on its way up") {
        policy.suspect("asked to dial anew", start + 1s);
        policy.on_connected(start + 1s);
        CHECK_FALSE(policy.on_link_lost(facts, start + 2s).dial);
        CHECK(policy.dial() == dial_state::securing);
    }
}

TEST_CASE("a link that owes an answer") {
    auto facts = idle_link();
    auto policy = up_policy(facts);
    facts.owes = true;
    policy.look(&facts, nullptr, start + 1s);

    SECTION("is doubted after 5 s without a byte") {
        const auto [orders, when] = watch(policy, facts, start + 2s, 20s);
        CHECK(orders.doubt);
        CHECK(orders.probe);
        CHECK(orders.dial);
        CHECK(when == start + 6s);
        CHECK(policy.link() == link_state::doubted);
    }
    SECTION("is not doubted while bytes come, however few") {
        for (auto now = start + 2s; now < start + 100s; now += 1s) {
            ++facts.path.received_bytes;
            CHECK_FALSE(policy.look(&facts, nullptr, now).dial);
        }
    }
    SECTION("is not doubted while its TCP is told that bytes arrive, however few") {
        facts.path.in_flight = 10;
        for (auto now = start + 2s; now < start + 100s; now += 1s) {
            ++facts.path.acked_bytes;
            CHECK_FALSE(policy.look(&facts, nullptr, now).dial);
        }
    }
    SECTION("has three round trips of its TCP to move") {
        facts.path.rtt = 4s;
        const auto [orders, when] = watch(policy, facts, start + 2s, 60s);
        CHECK(orders.doubt);
        CHECK(when == start + 13s);
    }
    SECTION("is trusted again when it is heard before the other one is up, which is given up") {
        watch(policy, facts, start + 2s, 20s);
        policy.on_connected(start + 7s);
        facts.path.received_bytes += 10;
        const auto orders = policy.look(&facts, nullptr, start + 8s);
        CHECK(orders.abandon);
        CHECK(policy.link() == link_state::up);
        CHECK(policy.dial() == dial_state::idle);
    }
    SECTION("stays doubted when only the peer's kernel takes the PING") {
        watch(policy, facts, start + 2s, 20s);
        policy.on_connected(start + 7s);
        facts.path.acked_bytes += 10;
        CHECK_FALSE(policy.look(&facts, nullptr, start + 8s).abandon);
        CHECK(policy.link() == link_state::doubted);
    }
    SECTION("goes on beside a second one that failed, if it is heard") {
        watch(policy, facts, start + 2s, 20s);
        facts.path.received_bytes += 10;
        facts.owes = false;
        policy.look(&facts, nullptr, start + 8s);
        policy.on_dial_failed(failure::passing, nullptr, start + 8s);
        CHECK(policy.link() == link_state::up);
        CHECK(policy.dial() == dial_state::idle);
    }
    SECTION("is replaced by the next try if it is not heard") {
        watch(policy, facts, start + 2s, 20s);
        policy.on_dial_failed(failure::passing, nullptr, start + 8s);
        CHECK(policy.dial() == dial_state::waiting);
        CHECK(policy.link() == link_state::doubted);
    }
    SECTION("of a session that cannot move is left to its keepalive") {
        policy.set_resumable(false);
        CHECK_FALSE(watch(policy, facts, start + 2s, 60s).first.dial);
    }
}

TEST_CASE("a link on which packets of ours are not acknowledged") {
    auto facts = idle_link();
    auto policy = up_policy(facts);
    facts.path.in_flight = 3;
    facts.path.segment = 1448;
    policy.look(&facts, nullptr, start + 1s);

    SECTION("is doubted, and the next one dialled as it was") {
        CHECK(watch(policy, facts, start + 2s, 20s).second == start + 6s);
        CHECK(policy.segment_bytes() == 0);
    }
    SECTION("while the peer's bytes come needs smaller segments") {
        facts.path.timeouts = 2;
        auto now = start + 2s;
        for (; now < start + 20s; now += 1s) {
            facts.path.received_bytes += 100'000;
            if (policy.look(&facts, nullptr, now).dial) break;
        }
        CHECK(now == start + 6s);
        CHECK(policy.segment_bytes() == 1220);
    }
}

TEST_CASE("a link on which the peer sends through a long queue") {
    auto facts = idle_link();
    auto policy = up_policy(facts);
    facts.owes = true;
    facts.path.in_flight = 1;
    facts.path.timeouts = 3;

    SECTION("is not doubted though the acknowledgement of our packet stands behind all that") {
        for (auto now = start + 1s; now < start + 55s; now += 1s) {
            facts.path.received_bytes += 1100;
            CHECK_FALSE(policy.look(&facts, nullptr, now).dial);
        }
        SECTION("but after a minute") {
            const auto [orders, when] = watch(policy, facts, start + 55s, 20s);
            CHECK(orders.dial);
        }
    }
    SECTION("is not doubted while its packets come behind one that was lost") {
        facts.path.in_flight = 0;
        for (auto now = start + 1s; now < start + 100s; now += 1s) {
            ++facts.path.out_of_order;
            CHECK_FALSE(policy.look(&facts, nullptr, now).dial);
        }
    }
}

TEST_CASE("a link whose streams have gone quiet") {
    auto facts = idle_link();
    facts.streams = true;
    auto policy = up_policy(facts);
    facts.frames_received = 1;
    facts.path.received_bytes += 100;
    policy.look(&facts, nullptr, start + 1s);

    SECTION("is asked once for a sign of life, after 3 s") {
        const auto [orders, when] = watch(policy, facts, start + 2s, 60s);
        CHECK(orders.probe);
        CHECK_FALSE(orders.dial);
        CHECK(when == start + 4s);
        facts.path.received_bytes += 30; // PONG
        CHECK_FALSE(watch(policy, facts, start + 5s, 60s).first.probe);
    }
    SECTION("is not asked without streams") {
        facts.streams = false;
        CHECK_FALSE(watch(policy, facts, start + 2s, 60s).first.probe);
    }
}

TEST_CASE("a session that nothing comes through to") {
    line_model line;
    line.upload = 100'000;
    line.policy.set_session_limit(120s);

    SECTION("is given up in time though links come up again and again") {
        line.start();
        line.run(1s);
        line.upload = 200'000;
        line.mtu = 300; // The handshake would not pass, so it is made small.
        line.hello_bytes = line.flight_bytes = 200;
        line.current->up.put({line_model::message::kind::record, 16'384});
        REQUIRE(line.run_until([&] { return line.given_up; }, 300s));
        CHECK(line.now - instant(1h) > 115s);
        CHECK(line.now - instant(1h) < 125s);
    }
    SECTION("is doubted less and less often meanwhile") {
        line.start();
        line.run(1s);
        line.upload = 200'000;
        line.mtu = 300;
        line.hello_bytes = line.flight_bytes = 200;
        line.policy.set_session_limit(8h);
        line.current->up.put({line_model::message::kind::record, 16'384});
        line.run(1h);
        CHECK(line.doubts.size() < 75);
        CHECK(line.policy.fruitless() > 3);
    }
    SECTION("is given up in time without any link") {
        line.start();
        line.run(1s);
        line.listens = false;
        const auto lost = line.now;
        line.lose();
        REQUIRE(line.run_until([&] { return line.given_up; }, 300s));
        CHECK(line.now - lost > 118s);
        CHECK(line.now - lost < 122s);
    }
}

TEST_CASE("a line that is only slow is never replaced") {
    const auto bits = GENERATE(4, 9, 16, 32, 64);
    const bool up = GENERATE(true, false);
    INFO(bits << " kbit/s " << (up ? "up" : "down"));
    line_model line;
    line.up_rate = line.down_rate = bits * 1000 / 8;
    line.flight_bytes = 4000;
    (up ? line.upload : line.download) = 80'000;
    line.start();
    const auto begun = line.now;
    REQUIRE(line.run_until([&] { return line.done(); }, 400s));
    CHECK(line.links == 1);
    CHECK(line.doubts.empty());
    const auto ideal = std::chrono::duration<double>(80'000.0 / line.up_rate);
    CHECK(line.now - begun < 1.3 * ideal + 8s * 9 / bits); // And the handshake.
}

TEST_CASE("a path that swallows large packets is met with smaller segments within 30 s") {
    const std::size_t mtu = GENERATE(1280U, 1000U, 600U);
    const bool up = GENERATE(true, false);
    const bool from_the_start = GENERATE(true, false);
    INFO("MTU " << mtu << (up ? ", up" : ", down")
                << (from_the_start ? "" : ", from some time on"));
    line_model line;
    (up ? line.upload : line.download) = from_the_start ? 80'000 : 20'000'000;
    line.up_rate = line.down_rate = 1e6;
    line.flight_bytes = 500;
    if (from_the_start) line.mtu = mtu;
    line.start();
    if (!from_the_start) line.run(5s);
    line.mtu = mtu;
    const auto& moved = up ? line.uploaded : line.downloaded;
    const auto before = moved;
    const auto since = line.now;
    REQUIRE(line.run_until([&] { return moved > before + 40'000; }, 60s));
    CHECK(line.now - since < 30s);
    line.run(2s);
    CHECK(line.hole == (mtu == 1280 ? 1220U : 536U));
}

TEST_CASE("a TLS handshake that is swallowed is met with smaller segments within 30 s") {
    const std::size_t mtu = GENERATE(1280U, 1000U, 600U);
    const bool hello_is_large = GENERATE(true, false);
    INFO("MTU " << mtu << (hello_is_large ? ", hello" : ", certificate"));
    line_model line;
    line.mtu = mtu;
    line.upload = 80'000;
    line.hello_bytes = hello_is_large ? 1700 : 400;
    line.flight_bytes = hello_is_large ? 400 : 4500;
    line.start();
    const auto since = line.now;
    REQUIRE(line.run_until([&] { return line.done(); }, 60s));
    CHECK(line.now - since < 30s);
    if (hello_is_large) CHECK(line.hole);
}

TEST_CASE("a server that stood still is not taken for a path with a hole") {
    line_model line;
    line.upload = 10'000;
    line.start();
    line.server_answers = false;
    line.run(12s); // Two handshakes in vain.
    line.server_answers = true;
    REQUIRE(line.run_until([&] { return line.done(); }, 60s));
    CHECK_FALSE(line.hole);

    SECTION("and the next link has no limit") {
        line.lose();
        line.run(1s);
        CHECK(line.policy.segment_bytes() == 0);
    }
}

TEST_CASE("a link that ends while others of the session stand") {
    auto policy = up_policy();
    auto other = idle_link();
    other.path.acked_bytes = 7;

    SECTION("leaves its part to one of them, and nothing is dialled") {
        const auto orders = policy.on_other_link(other, start + 1s);
        CHECK_FALSE((orders.dial || orders.abandon));
        CHECK(policy.link() == link_state::up);
        CHECK(policy.dial() == dial_state::idle);
        CHECK_FALSE(watch(policy, other, start + 2s, 1min).first.dial);
    }
    SECTION("ends the dial that was begun because it stood still") {
        REQUIRE(policy.suspect("a reason from outside", start + 1s).dial);
        CHECK(policy.on_other_link(other, start + 2s).abandon);
        CHECK(policy.link() == link_state::up);
        CHECK(policy.dial() == dial_state::idle);
    }
}
