/// \file
/// A session with a version 1 peer, in both roles, byte by byte: what such a peer sends and expects
/// (docs/PROTOCOL.md, "Version 1").

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

const std::string syn = "00 00 00 01 01 00 00";
const std::string fin = "00 00 00 01 02 00 00";
const std::string data_ab = "00 00 00 01 04 00 02 61 62";
const std::string rst = "00 00 00 01 20 00 00";
const std::string ping = "00 00 00 00 08 00 00";
const std::string pong = "00 00 00 00 10 00 00";

session_settings allowing(role side) {
    auto settings = lone_session::settings_of(side);
    settings.allow_v1 = true;
    return settings;
}

std::string message(errc why) { return make_error_code(why).message(); }

} // namespace

TEST_CASE("a server of a version 1 client") {
    lone_session s(allowing(role::server), any_cutting());
    s.link_up();
    SECTION("knows it by its first frame, whichever that is") {
        s.feed(GENERATE(as<std::string>(), "00 00 00 01 01 00 00", "00 00 00 00 08 00 00",
                        "00 00 00 00 10 00 00", "00 00 00 09 20 00 00",
                        "00 00 00 01 04 00 02 61 62"));
        CHECK(s.told().at(0) == "established");
        CHECK(s.core.version() == 1);
        CHECK_FALSE(s.core.resumable());
    }
    SECTION("does not take garbage for one") {
        s.feed("47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a"); // GET / HTTP/1.1
        CHECK(s.told() == lines{"closed: " + message(errc::illegal_flags)});
    }
    SECTION("answers PING with an empty PONG, whatever it carries") {
        s.feed(ping + " 00 00 00 00 08 00 03 01 02 03");
        CHECK(s.sent() == lines{pong, pong});
    }
    SECTION("answers each PING, as many as come at once") {
        s.feed(ping + " " + ping + " " + ping);
        CHECK(s.sent() == lines{pong, pong, pong});
        CHECK(s.sent().empty());
    }
    SECTION("carries bytes both ways without credit") {
        const std::string much(200'000, 'x');
        s.feed(syn + " " + data_ab);
        auto& o = s.opened(1);
        CHECK(o.received == "ab");
        s.send(o, much);
        std::size_t size = 0;
        for (const auto& frame : s.sent()) {
            CHECK(frame.substr(0, 14) == "00 00 00 01 04");
            size += hex(frame).size() - frame_header_size;
        }
        CHECK(size == much.size());
        for (int i = 0; i < 4; ++i)
            s.feed(frame_bytes(1, 0x04, std::string(0x8000, 'y')));
        CHECK(o.received.size() == 2 + 4 * 0x8000);
        CHECK(s.sent().empty());
    }
    SECTION("ignores a payload of SYN and of RST") {
        s.feed("00 00 00 01 01 00 02 61 62 00 00 00 01 20 00 01 61");
        CHECK(s.told() ==
              lines{"established", "opened 1", "reset 1: " + message(errc::stream_cancelled)});
    }
    SECTION("takes its end as the end of both directions") {
        s.feed(syn + " " + data_ab + " " + fin);
        CHECK(s.told() == lines{"established", "opened 1", "end 1"});
        auto& o = s.opened(1);
        s.send(o, "xy");
        CHECK(s.sent().empty());
        CHECK(s.core.stream_count() == 0);
        s.release(o);
    }
    SECTION("lets it open a closed id again") {
        s.feed(syn + " " + fin + " " + syn);
        CHECK(s.told() == lines{"established", "opened 1", "end 1", "opened 1"});
        s.feed(data_ab);
        CHECK(s.opened(1).received == "ab");
    }
    SECTION("answers frames of unknown streams with an empty RST, but RST with nothing") {
        s.feed(ping + " 00 00 00 07 04 00 01 78 00 00 00 09 02 00 00 00 00 00 0b 20 00 00");
        CHECK(s.sent() == lines{pong, "00 00 00 07 20 00 00", "00 00 00 09 20 00 00"});
        CHECK_FALSE(s.core.closed());
    }
    SECTION("resets with an empty RST") {
        s.feed(syn);
        s.core.reset(*s.opened(1).s, reset_code::denied);
        CHECK(s.sent() == lines{rst});
    }
    SECTION("ends the link without a word for frames of version 2 and illegal ones") {
        s.feed(ping);
        s.sent();
        s.feed(GENERATE(as<std::string>(), "00 00 00 00 40 00 01 01", "00 00 00 01 05 00 00",
                        "00 00 00 01 80 00 00"));
        CHECK(s.told().back() == "closed: " + message(errc::illegal_flags));
        CHECK(s.sent().empty());
    }
    SECTION("is over with its link") {
        s.feed(syn);
        s.told();
        s.core.on_link_lost(errc::link_lost, s.now);
        CHECK(s.told() ==
              lines{"reset 1: " + message(errc::link_lost), "closed: " + message(errc::link_lost)});
    }
    SECTION("sends an empty PING after 15 seconds, and gives it up after 25") {
        s.feed(syn);
        s.pass(15s);
        CHECK(s.sent() == lines{ping});
        s.feed(pong);
        s.pass(25s);
        CHECK(s.told().back() == "closed: " + message(errc::keepalive_timeout));
    }
}

TEST_CASE("64 streams of a version 1 client may wait to be taken up") {
    lone_session s(allowing(role::server));
    s.link_up();
    std::uint32_t id = 1;
    for (; id < 129; id += 2)
        s.feed(frame_text(id, 0x01));
    s.now += 1ms;
    SECTION("more are refused") {
        s.feed(frame_text(id, 0x01));
        CHECK(s.sent() == lines{frame_text(id, 0x20)});
    }
    SECTION("and are welcome when one was taken up") {
        s.core.accept(*s.opened(1).s);
        s.feed(frame_text(id, 0x01));
        CHECK(s.sent().empty());
    }
}

TEST_CASE("4 MiB of a version 1 client that nobody reads") {
    lone_session s(allowing(role::server));
    s.link_up();
    s.feed(syn + " 00 00 00 03 01 00 00");
    auto& o = s.opened(1);
    o.reading = false;
    const auto much = frame_bytes(1, 0x04, std::string(65'535, 'x'));
    for (int i = 0; i < 64; ++i)
        s.feed(much);
    CHECK_FALSE(s.core.reading_paused());
    s.feed(much);
    SECTION("pause the link") { CHECK(s.core.reading_paused()); }
    SECTION("until some is read") {
        s.take(o, 200'000);
        CHECK_FALSE(s.core.reading_paused());
        s.feed("00 00 00 03 04 00 02 61 62");
        CHECK(s.opened(3).received == "ab");
        s.take(o, 65 * 65'535 - 200'000);
        CHECK(o.received == std::string(65 * 65'535, 'x'));
    }
    SECTION("for 5 seconds at most; then a stream that moves, however slowly, is read on for") {
        for (int i = 0; i < 5; ++i) {
            CHECK(s.core.reading_paused());
            s.pass(2s);
            s.take(o, 1'000);
            s.pass(3s);
            CHECK_FALSE(s.core.reading_paused());
            s.feed(much);
        }
        CHECK(s.told() == lines{"established", "opened 1", "opened 3"});
        // Once it has stood still for a whole pause, it is reset.
        s.pass(5s);
        CHECK(s.told() == lines{"reset 1: " + message(errc::stream_shed)});
    }
    SECTION("for 5 seconds at most; then that stream alone is reset") {
        auto& slow = s.opened(3);
        slow.reading = false;
        const auto more = frame_bytes(3, 0x04, std::string(65'535, 'x'));
        for (int i = 0; i < 65; ++i)
            s.feed(more);
        s.take(slow, 1);
        s.told();
        s.pass(5s);
        CHECK_FALSE(s.core.reading_paused());
        CHECK(s.told() == lines{"reset 1: " + message(errc::stream_shed)});
    }
    SECTION("for 5 seconds at most; then a stream that does not move is reset") {
        s.pass(4'999ms);
        CHECK(s.core.reading_paused());
        s.told();
        s.pass(1ms);
        CHECK_FALSE(s.core.reading_paused());
        CHECK(s.told() == lines{"reset 1: " + message(errc::stream_shed)});
        CHECK(s.sent() == lines{rst});
        CHECK(s.core.memory_held() == 0);
    }
}

TEST_CASE("a client of a version 1 server") {
    lone_session s(allowing(role::client), any_cutting());
    s.link_up();
    s.sent();
    auto& o = s.open("ab");
    CHECK(s.sent().empty());
    s.feed("00 00 00 00 20 00 00");
    CHECK(s.told() == lines{"established"});
    SECTION("opens streams as always, and sends without credit") {
        CHECK(s.sent() == lines{syn, data_ab});
        s.send(o, std::string(300'000, 'x'), true);
        std::size_t size = 0;
        const auto frames = s.sent();
        for (const auto& frame : frames)
            size += hex(frame).size() - frame_header_size;
        CHECK(size == 300'000);
        CHECK(frames.back().substr(12, 2) == "06");
    }
    SECTION("receives bytes and the end") {
        s.sent();
        s.feed("00 00 00 01 04 00 02 78 79 00 00 00 01 02 00 00");
        CHECK(o.received == "xy");
        CHECK(s.told() == lines{"end 1"});
        CHECK(s.core.stream_count() == 0);
    }
    SECTION("still receives behind its own end") {
        s.sent();
        s.core.finish(*o.s);
        CHECK(s.sent() == lines{fin});
        s.feed("00 00 00 01 04 00 02 78 79");
        CHECK(o.received == "xy");
    }
    SECTION("hears a reset, and sends its own empty") {
        s.sent();
        auto& other = s.open("");
        s.sent();
        s.feed(rst);
        CHECK(s.told() == lines{"reset 1: " + message(errc::stream_cancelled)});
        s.core.reset(*other.s, reset_code::cancelled);
        CHECK(s.sent() == lines{"00 00 00 03 20 00 00"});
    }
    SECTION("refuses streams of the server's") {
        s.sent();
        s.feed("00 00 00 02 01 00 00");
        CHECK(s.sent() == lines{"00 00 00 02 20 00 00"});
    }
    SECTION("closes without a word") {
        s.sent();
        s.core.close(close_code::normal, errc::closed_locally, "over");
        CHECK(s.sent().empty());
        CHECK(s.told().back() == "closed: " + message(errc::closed_locally));
    }
}
