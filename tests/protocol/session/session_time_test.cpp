// Silence, PING and acknowledgements by the clock.

#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

octets token_frame(unsigned flags, std::uint64_t token) {
    octets payload(8);
    store_u64(payload.data(), token);
    return frame(0, flags, payload);
}
octets ping(std::uint64_t token) { return token_frame(flag::ping, token); }
octets pong(std::uint64_t token) { return token_frame(flag::pong, token); }
std::string silence() { return make_error_code(errc::keepalive_timeout).message(); }
const std::string dead = "down 0: " + silence();
constexpr unsigned syn_data = flag::syn | flag::data;

} // namespace

TEST_CASE("a link without a received byte") {
    const auto side = GENERATE(role::client, role::server);
    lone s(side);
    s.establish();
    s.pass(14'999ms);
    CHECK(s.output().empty());
    s.pass(1ms);
    CHECK(s.output() == ping(1));
    SECTION("is dead 10 seconds after the PING") {
        s.pass(9'999ms);
        CHECK(s.told().empty());
        s.pass(1ms);
        CHECK(s.told() == lines{dead, "detached"});
        CHECK(s.output().empty());
    }
    SECTION("lives on with any byte, be it the first of a frame") {
        s.pass(9s);
        s.feed(0, octets{0});
        s.pass(14s);
        CHECK(s.told().empty());
        CHECK(s.core.attached());
    }
    SECTION("sends its next PING 15 seconds after the answer, with another token") {
        s.feed(0, pong(1));
        s.pass(14'999ms);
        CHECK(s.output().empty());
        s.pass(1ms);
        CHECK(s.output() == ping(2));
    }
    SECTION("lives while its transport hears the peer, or gets on with what stands before PING") {
        s.pass(9s);
        SECTION("bytes that are no whole record") { s.core.on_path(0, s.now, {}); }
        SECTION("an acknowledgement of TCP's") { s.core.on_path(0, {}, s.now); }
        s.pass(9s);
        CHECK(s.core.attached());
    }
}

TEST_CASE("each link has its own silence") {
    lone s(role::server);
    s.establish();
    const auto second = s.join();
    s.feed(second, ack(0));
    s.feed(0, ack(0));
    s.pass(14s);
    s.feed(second, ack(0));
    s.pass(1s);
    CHECK(s.output() == ping(1));
    CHECK(s.output(second).empty()); // It would be asked, too, if both had been silent.
    for (int i = 0; i < 2; ++i) {
        s.pass(5s);
        s.feed(second, ack(0));
    }
    CHECK(s.told() == lines{dead});
    CHECK(s.core.attached());
}

TEST_CASE("a session that cannot be resumed ends with its silent link") {
    auto settings = lone::settings_of(role::server);
    settings.resume = false;
    lone s(settings);
    s.establish();
    s.feed(0, data(1, 0, "", syn_data));
    s.told();
    s.pass(25s);
    auto told = s.told();
    REQUIRE(told.size() >= 2);
    CHECK(told.back() == "closed: " + silence());
    CHECK(told[told.size() - 2] == "reset 1: " + silence());
}

TEST_CASE("PING is answered") {
    lone s(role::server);
    s.establish();
    SECTION("by PONG with its token") {
        s.feed(0, ping(0x0102030405060708));
        CHECK(s.output() == pong(0x0102030405060708));
    }
    SECTION("once, if several wait: the newest") {
        s.feed(0, ping(1) + ping(2) + ping(3));
        CHECK(s.output() == pong(3));
        CHECK(s.output().empty());
    }
    SECTION("by the link that it came by") {
        const auto second = s.join();
        s.feed(second, ping(4));
        CHECK(s.output().empty());
        CHECK(s.output(second) == pong(4));
    }
}

TEST_CASE("a PING can be asked for, and the link is dead 10 seconds later if nothing comes") {
    lone s(role::client);
    s.establish();
    CHECK_FALSE(s.core.owes_answer(0));
    s.core.probe();
    CHECK(s.output() == ping(1));
    CHECK(s.core.owes_answer(0));
    s.pass(10s);
    CHECK(s.told() == lines{dead, "detached"});
}

TEST_CASE("the round trip is that of the handshake at first, then that of PING, smoothed") {
    lone s(role::client);
    s.establish();
    CHECK(s.core.rtt() == 0ns);
    s.core.probe();
    s.output();
    s.pass(40ms);
    s.feed(0, pong(1));
    CHECK(s.core.rtt() == 40ms);
    s.core.probe();
    s.output();
    s.pass(120ms);
    s.feed(0, pong(7)); // Not what was asked.
    CHECK(s.core.rtt() == 40ms);
    s.feed(0, pong(2));
    CHECK(s.core.rtt() == 50ms);
}

TEST_CASE("kept frames are acknowledged") {
    lone s(role::server);
    s.establish();
    SECTION("20 ms after the first of them") {
        s.feed(0, data(1, 0, "", syn_data));
        s.pass(10ms);
        s.feed(0, data(1, 0, "x"));
        s.pass(9ms);
        CHECK(s.sent().empty());
        s.pass(1ms);
        CHECK(s.sent() == lines{"ACK 2"});
        s.pass(1s);
        CHECK(s.sent().empty());
    }
    SECTION("after 128 KiB at once") {
        const std::string much(60'000, 'x');
        s.feed(0, data(1, 0, "", syn_data));
        s.opened(1).reading = false;
        s.feed(0, data(1, 0, much) + data(1, 60'000, much));
        CHECK(s.sent().empty());
        s.feed(0, data(1, 120'000, much));
        CHECK(s.sent() == lines{"ACK 4"});
    }
    SECTION("along with whatever else goes out") {
        s.feed(0, data(1, 0, "", syn_data) + ping(9));
        CHECK(s.sent() == lines{"PONG", "ACK 1"});
    }
    SECTION("also when they are ignored or refused, and no others are") {
        s.feed(0, data(5, 0, "", syn_data) + rst(5) + data(5, 0, "x") + rst(3) +
                      data(3, 0, "", flag::fin) + pong(1) + ack(0) + control(octets{0x80}));
        s.pass(20ms);
        CHECK(s.sent() == lines{"ACK 5"});
    }
}

TEST_CASE("what is sent is kept until it is acknowledged") {
    lone s(role::client);
    s.establish();
    CHECK(s.core.kept_held() == 0);
    auto& o = s.open("request");
    s.send(o, "more");
    s.sent();
    CHECK(s.core.kept_held() > 0);
    CHECK(s.core.owes_answer(0));
    s.feed(0, ack(1));
    CHECK(s.core.kept_held() > 0);
    s.feed(0, ack(2));
    CHECK(s.core.kept_held() == 0);
    CHECK_FALSE(s.core.owes_answer(0));
    CHECK(s.core.statistics().frames_acked == 2);
    SECTION("and an older acknowledgement changes nothing") {
        s.feed(0, ack(1));
        CHECK_FALSE(s.core.closed());
    }
    SECTION("and more than was sent ends the session") {
        s.feed(0, ack(3));
        CHECK(s.core.error() == errc::ack_beyond_sent);
    }
}

TEST_CASE("a peer that has answered a PING and acknowledges nothing before it loses the link") {
    lone s(role::client);
    s.establish();
    const auto withheld = make_error_code(errc::acks_withheld).message();
    auto& o = s.open("request");
    CHECK(s.sent() == lines{"DATA 1 @0 SYN request"});
    s.pass(4'999ms);
    CHECK(s.output().empty());
    s.pass(1ms);
    CHECK(s.output() == ping(1));
    SECTION("5 seconds later") {
        s.pass(200ms);
        s.feed(0, pong(1));
        s.pass(4'999ms);
        CHECK(s.core.attached());
        s.pass(1ms);
        CHECK(s.told() == lines{"down 0: " + withheld, "detached"});
    }
    SECTION("also if it acknowledges what went out behind the PING's answer in part") {
        s.send(o, "more");
        s.output();
        s.send(o, "and more");
        s.output();
        s.feed(0, pong(1));
        s.pass(1s);
        s.feed(0, ack(1)); // All that it must.
        s.pass(4'500ms);
        CHECK(s.core.attached());
        s.pass(500ms);
        CHECK(s.output() == ping(2)); // 5 s after its last sign.
        s.feed(0, ack(2) + pong(2));
        s.pass(5s);
        CHECK(s.told() == lines{"down 0: " + withheld, "detached"});
    }
    SECTION("not if it acknowledges in time") {
        s.feed(0, pong(1) + ack(1));
        s.pass(14s);
        CHECK(s.core.attached());
    }
    SECTION("not while the answer is on its way, as on a slow line") {
        for (int i = 0; i < 11; ++i) {
            s.pass(10s);
            s.feed(0, ack(0));
        }
        CHECK(s.core.attached());
        SECTION("but for no more than two minutes") {
            s.pass(10s);
            CHECK_FALSE(s.core.attached());
        }
    }
}

TEST_CASE("a frame that has begun must be complete within 30 seconds") {
    lone s(role::server);
    s.establish();
    s.feed(0, octets{0});
    s.pass(20s);
    s.feed(0, octets{0});
    s.pass(9'999ms);
    CHECK(s.told().empty());
    s.pass(1ms);
    CHECK(s.told() ==
          lines{"down 0: " + make_error_code(errc::frame_timeout).message(), "detached"});
}

} // namespace muxsocks::tests
