/// \file
/// How a session ends, and what it leaves: GOAWAY, CLOSE, a lost link.

#include "tests/catch.hpp"
#include "tests/protocol/lone_session.hpp"
#include "tests/vectors/hex.hpp"

using namespace muxsocks;
using namespace muxsocks::tests;
using namespace std::chrono_literals;
using lines = lone_session::lines;

namespace {

cutting any_cutting() {
    return GENERATE(cutting::whole, cutting::byte_by_byte, cutting::at_random);
}

std::string message(errc why) { return make_error_code(why).message(); }

const std::string syn = "00 00 00 01 01 00 00";
const std::string goaway = "00 00 00 00 40 00 12 30 " // GOAWAY
                           "00 00 00 05 03 "          // last_stream 5, shutting down
                           "00 00 75 30 "             // 30 s to drain
                           "73 74 6f 70 70 69 6e 67"; // stopping

} // namespace

TEST_CASE("a server that goes away") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed("00 00 00 03 01 00 00 00 00 00 05 01 00 00");
    s.stream_frames();
    s.told();
    s.core.go_away(close_code::shutting_down, 30s, "stopping");
    SECTION("says so, once") {
        s.core.go_away(close_code::normal, 1s, "again");
        CHECK(s.sent() == lines{goaway, control_text("20 " + hex_u64(2))}); // ACK goes along.
        CHECK(s.sent().empty());
    }
    SECTION("refuses streams above the last one, and ignores what follows on them") {
        s.sent();
        s.feed("00 00 00 07 01 00 00 00 00 00 07 04 00 01 78");
        CHECK(s.stream_frames() == lines{"00 00 00 07 20 00 04 00 00 00 01"});
        CHECK(s.told().empty());
    }
    SECTION("lets those go on that it has") {
        s.sent();
        s.feed("00 00 00 05 06 00 02 61 62");
        CHECK(s.opened(5).received == "ab");
        s.send(s.opened(5), "xy", true);
        CHECK(s.stream_frames() == lines{"00 00 00 05 06 00 02 78 79"});
    }
}

TEST_CASE("a client whose server goes away") {
    lone_session s(role::client, any_cutting());
    s.establish(1 << 18, 1);
    auto& o = s.open("ab");
    s.sent();
    s.open("waits for the first to end");
    s.feed(goaway);
    SECTION("hears of it, and streams that have not begun begin elsewhere") {
        CHECK(s.told() == lines{"goaway: " + message(errc::going_away),
                                "reset 0: " + message(errc::going_away)});
        CHECK(s.core.peer_text() == "stopping");
        CHECK_FALSE(s.core.accepts_opens());
    }
    SECTION("opens no more") {
        s.told();
        s.open("later");
        CHECK(s.told() == lines{"reset 0: " + message(errc::going_away)});
        CHECK(s.stream_frames().empty());
    }
    SECTION("goes on with those that it has") {
        s.feed("00 00 00 01 06 00 02 78 79");
        CHECK(o.received == "xy");
        s.send(o, "c", true);
        CHECK(s.stream_frames() == lines{"00 00 00 01 06 00 01 63"});
    }
    SECTION("gives those above the last one up at once, whatever the server says of them") {
        lone_session many(role::client, any_cutting());
        many.establish();
        for (int i = 0; i < 4; ++i)
            many.open("r");
        many.sent();
        many.feed(goaway); // Up to 5.
        CHECK(many.told() == lines{"goaway: " + message(errc::going_away),
                                   "reset 7: " + message(errc::going_away)});
        CHECK(many.core.stream_count() == 3);
        many.feed("00 00 00 07 20 00 04 00 00 00 01 00 00 00 05 06 00 01 78");
        CHECK(many.told() == lines{"end 5"});
        CHECK(many.stream_frames().empty());
    }
    SECTION("ignores a second one") {
        s.told();
        s.feed(control_text("30 00 00 00 00 00 00 00 00 00"));
        CHECK(s.told().empty());
        CHECK(s.core.peer_text() == "stopping");
    }
}

TEST_CASE("a session that is closed") {
    const auto side = GENERATE(role::client, role::server);
    lone_session s(side);
    s.establish();
    if (side == role::client)
        s.open("waits");
    else
        s.feed(syn);
    s.told();
    const auto code = GENERATE(close_code::normal, close_code::shutting_down,
                               close_code::user_removed, close_code::internal);
    SECTION("says so with its reason, and nothing else") {
        s.core.close(code, errc::closed_locally, "stopped");
        const auto id = side == role::client ? "0" : "1";
        CHECK(s.told() == lines{std::string("reset ") + id + ": " + message(errc::closed_locally),
                                "closed: " + message(errc::closed_locally)});
        const std::array<std::uint8_t, 1> byte{static_cast<std::uint8_t>(code)};
        CHECK(s.sent() ==
              lines{"00 00 00 00 40 00 09 31 " + to_hex(byte) + " 73 74 6f 70 70 65 64"});
        CHECK(s.core.stream_count() == 0);
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("does so once") {
        s.core.close(code, errc::closed_locally, "stopped");
        s.core.close(code, errc::closed_locally, "again");
        CHECK(s.sent().size() == 1);
        CHECK(s.told().size() == 2);
    }
    SECTION("takes no more streams, bytes, time or loss") {
        s.core.close(code, errc::closed_locally, "stopped");
        s.sent();
        s.told();
        s.feed("00 00 00 03 01 00 00 00 00 00 00 80 ff ff");
        s.pass(60s);
        s.core.on_link_lost(errc::link_lost, s.now);
        s.open("x");
        CHECK(s.sent().empty());
        CHECK(s.told() == lines{"reset 0: " + message(errc::closed_locally)});
    }
    SECTION("cuts a text that is too long") {
        s.core.close(code, errc::closed_locally, std::string(300, 'x'));
        const std::array<std::uint8_t, 1> byte{static_cast<std::uint8_t>(code)};
        CHECK(s.sent() ==
              lines{control_text("31 " + to_hex(byte) + " " + hex_of(std::string(255, 'x')))});
    }
}

TEST_CASE("a session whose peer closes it") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed(syn);
    s.told();
    s.feed("00 00 00 00 40 00 09 31 03 73 74 6f 70 70 65 64 " + syn);
    CHECK(s.told() == lines{"reset 1: " + message(errc::closed_by_peer),
                            "closed: " + message(errc::closed_by_peer)});
    CHECK(s.core.peer_text() == "stopped");
    CHECK(s.sent().empty());
    CHECK_FALSE(s.core.attached());
}

TEST_CASE("a session that has lost its link") {
    SECTION("keeps its streams if it can be resumed") {
        lone_session s(role::client);
        s.establish();
        auto& o = s.open("ab");
        s.sent();
        s.core.on_link_lost(errc::link_lost, s.now);
        s.send(o, "cd");
        CHECK(s.told() == lines{"detached: " + message(errc::link_lost)});
        CHECK(s.sent().empty());
        CHECK(o.to_send == "cd");
        CHECK(s.core.stream_count() == 1);
        CHECK(s.core.accepts_opens());
        s.pass(60s);
        CHECK(s.told().empty());
    }
    SECTION("is over if it was not established, and streams vanish") {
        lone_session s(role::client);
        s.link_up();
        s.open("ab");
        s.core.on_link_lost(errc::link_lost, s.now);
        CHECK(s.core.closed());
        CHECK(s.core.opening_count() == 0);
    }
}
