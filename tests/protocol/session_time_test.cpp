/// \file
/// What a session does by itself as time passes: keepalive, acknowledgements, the round trip.

#include "tests/catch.hpp"
#include "tests/protocol/lone_session.hpp"
#include "tests/vectors/hex.hpp"

using namespace muxsocks;
using namespace muxsocks::tests;
using namespace std::chrono_literals;
using lines = lone_session::lines;

namespace {

std::string ping(std::uint64_t token) { return frame_text(0, 0x08, hex_u64(token)); }
std::string pong(std::uint64_t token) { return frame_text(0, 0x10, hex_u64(token)); }
std::string ack(std::uint64_t frames) { return control_text("20 " + hex_u64(frames)); }
std::string silence() { return make_error_code(errc::keepalive_timeout).message(); }

} // namespace

TEST_CASE("a link without a received byte") {
    const auto side = GENERATE(role::client, role::server);
    lone_session s(side);
    s.establish();
    s.pass(14'999ms);
    CHECK(s.sent().empty());
    s.pass(1ms);
    CHECK(s.sent() == lines{"00 00 00 00 08 00 08 00 00 00 00 00 00 00 01"});
    SECTION("is dead 10 seconds after the PING") {
        s.pass(9'999ms);
        CHECK(s.told().empty());
        s.pass(1ms);
        CHECK(s.told() == lines{"detached: " + silence()});
        CHECK(s.sent().empty());
    }
    SECTION("lives on with any byte, be it the first of a frame") {
        s.pass(9s);
        s.feed("00");
        s.pass(14s);
        CHECK(s.told().empty());
        CHECK(s.core.attached());
    }
    SECTION("sends its next PING 15 seconds after the answer, with another token") {
        s.feed(pong(1));
        s.pass(14'999ms);
        CHECK(s.sent().empty());
        s.pass(1ms);
        CHECK(s.sent() == lines{ping(2)});
    }
}

TEST_CASE("a session that cannot be resumed ends with its silent link") {
    auto settings = lone_session::settings_of(role::server);
    settings.resume = false;
    lone_session s(settings);
    s.establish();
    s.feed("00 00 00 01 01 00 00");
    s.told();
    s.pass(25s);
    CHECK(s.told() == lines{"reset 1: " + silence(), "closed: " + silence()});
}

TEST_CASE("PING is answered") {
    lone_session s(role::server);
    s.establish();
    SECTION("by PONG with its token") {
        s.feed(ping(0x0102030405060708));
        CHECK(s.sent() == lines{"00 00 00 00 10 00 08 01 02 03 04 05 06 07 08"});
    }
    SECTION("once, if several wait: the newest") {
        s.feed(ping(1) + " " + ping(2) + " " + ping(3));
        CHECK(s.sent() == lines{pong(3)});
        CHECK(s.sent().empty());
    }
}

TEST_CASE("a PING can be asked for") {
    lone_session s(role::client);
    s.establish();
    s.core.probe();
    CHECK(s.sent() == lines{ping(1)});
    SECTION("and the link is dead 10 seconds later if nothing comes") {
        s.pass(10s);
        CHECK(s.told() == lines{"detached: " + silence()});
    }
}

TEST_CASE("the round trip") {
    lone_session s(role::client);
    s.link_up();
    s.sent();
    SECTION("is that of the handshake at first, then that of PING, smoothed") {
        lone_session t(role::client);
        t.establish();
        CHECK(t.core.rtt() == 0ns);
        t.core.probe();
        t.sent();
        t.pass(40ms);
        t.feed(pong(1));
        CHECK(t.core.rtt() == 40ms);
        t.core.probe();
        t.sent();
        t.pass(120ms);
        t.feed(pong(7)); // Not what was asked.
        CHECK(t.core.rtt() == 40ms);
        t.feed(pong(2));
        CHECK(t.core.rtt() == 50ms);
    }
    SECTION("is measured every 1.5 seconds while bulk flows") {
        auto settings = lone_session::settings_of(role::server);
        settings.initial_window = 16 << 20;
        lone_session t(settings);
        t.establish();
        t.feed(frame_text(1, 0x01));
        const auto megabyte = [&] {
            for (int i = 0; i < 20; ++i)
                t.feed(frame_bytes(1, 0x04, std::string(60'000, 'x')));
            auto frames = t.sent();
            std::erase_if(frames, [](const auto& f) { return f.substr(12, 2) != "08"; });
            return frames;
        };
        CHECK(megabyte() == lines{ping(1)});
        t.feed(pong(1));
        t.pass(1'499ms);
        CHECK(megabyte().empty());
        t.pass(1ms);
        CHECK(megabyte() == lines{ping(2)});
    }
}

TEST_CASE("counted frames are acknowledged") {
    lone_session s(role::server);
    s.establish();
    SECTION("20 ms after the first of them") {
        s.feed("00 00 00 01 01 00 00");
        s.pass(10ms);
        s.feed("00 00 00 01 04 00 01 78");
        s.pass(9ms);
        CHECK(s.sent().empty());
        s.pass(1ms);
        CHECK(s.sent() == lines{"00 00 00 00 40 00 09 20 00 00 00 00 00 00 00 02"});
        s.pass(1s);
        CHECK(s.sent().empty());
    }
    SECTION("after 128 KiB at once") {
        const auto much = frame_bytes(1, 0x04, std::string(65'535, 'x'));
        s.feed("00 00 00 01 01 00 00");
        s.feed(much);
        s.stream_frames();
        s.feed(much);
        CHECK(s.core.wants_turn());
        s.feed(much);
        const auto frames = s.sent();
        REQUIRE_FALSE(frames.empty());
        CHECK(frames[0] == ack(4));
    }
    SECTION("along with whatever else goes out") {
        s.feed("00 00 00 01 01 00 00 " + ping(9));
        CHECK(s.sent() == lines{pong(9), ack(1)});
    }
    SECTION("also when they are ignored or refused, and no others are") {
        s.feed("00 00 00 05 01 00 00 "             // SYN
               "00 00 00 05 20 00 04 00 00 00 02 " // RST
               "00 00 00 05 04 00 01 78 "          // DATA, too late
               "00 00 00 03 02 00 00 " +           // FIN on a closed id
               pong(1) +
               " " + control_text("20 " + hex_u64(0)) + " 00 00 00 00 40 00 01 80");
        s.pass(20ms);
        CHECK(s.sent() == lines{ack(4)});
    }
    SECTION("only where the session can be resumed") {
        auto settings = lone_session::settings_of(role::server);
        settings.resume = false;
        lone_session t(settings);
        t.establish();
        t.feed("00 00 00 01 01 00 00");
        t.pass(1s);
        CHECK(t.sent().empty());
    }
}

TEST_CASE("what is sent is kept until it is acknowledged") {
    lone_session s(role::client);
    s.establish();
    CHECK(s.core.replay_held() == 0);
    s.open("request");
    s.sent();
    CHECK(s.core.replay_held() > 0);
    CHECK(s.core.unacked_since() == s.now);
    s.feed(ack(1)); // SYN; the request is still under way.
    CHECK(s.core.replay_held() > 0);
    s.feed(ack(2));
    CHECK(s.core.replay_held() == 0);
    CHECK_FALSE(s.core.unacked_since());
    SECTION("and an older acknowledgement changes nothing") {
        s.feed(ack(1));
        CHECK_FALSE(s.core.closed());
    }
    SECTION("and more than was sent ends the session") {
        s.feed(ack(3));
        CHECK(s.sent() == lines{close_text(errc::ack_beyond_sent)});
    }
}
