/// \file
/// Flow control at one session: what is accepted, when credit is granted, how credit is used, and
/// what happens to memory that is promised or held.

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

/// A server whose windows have `window` bytes and grow up to `window_max`.
session_settings with_window(std::uint32_t window, std::uint64_t window_max) {
    auto settings = lone_session::settings_of(role::server);
    settings.initial_window = window;
    settings.stream_window_max = window_max;
    return settings;
}

std::string syn(std::uint32_t id) { return frame_text(id, 0x01); }
std::string data(std::uint32_t id, std::size_t size) {
    return frame_text(id, 0x04, hex_of(std::string(size, 'x')));
}
octets bulk(std::uint32_t id, std::size_t size) {
    return frame_bytes(id, 0x04, std::string(size, 'x'));
}
std::string reset_for(errc why, std::uint32_t id = 1) {
    return "reset " + std::to_string(id) + ": " + make_error_code(why).message();
}

const std::string rst_flow_control = "00 00 00 01 20 00 04 00 00 00 03";

} // namespace

TEST_CASE("a receiver with a window of 1000 bytes") {
    lone_session s(with_window(1000, 1000), any_cutting());
    s.establish();
    s.feed(syn(1));
    s.told();
    auto& o = s.opened(1);
    o.reading = false;
    SECTION("takes 1000 bytes that nobody reads, and not one more") {
        s.feed(data(1, 600) + " " + data(1, 400));
        CHECK(o.s->unread_bytes() == 1000);
        CHECK(s.told().empty());
        s.feed(data(1, 1));
        CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
        CHECK(s.stream_frames() == lines{rst_flow_control});
        CHECK_FALSE(s.core.closed());
    }
    SECTION(
        "throws away what comes once its socket takes nothing more, and grants nothing for it") {
        s.feed(data(1, 600));
        s.core.discard(*o.s);
        CHECK(o.s->unread_bytes() == 0);
        s.feed(data(1, 400));
        CHECK(o.s->unread_bytes() == 0);
        CHECK(s.core.memory_held() == 0);
        CHECK(s.stream_frames().empty());
        s.send(o, "last words");
        s.core.reset(*o.s, reset_code::cancelled);
        s.told();
        CHECK_FALSE(s.core.closed());
    }
    SECTION("takes nothing of a frame that goes beyond it") {
        s.feed(data(1, 600) + " " + data(1, 401));
        CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
        CHECK(s.core.statistics().bytes_received == 600);
    }
    SECTION("lets other streams go on when one goes beyond it") {
        s.feed(syn(3) + " " + data(1, 1001) + " " + frame_text(3, 0x04, "61"));
        CHECK(s.opened(3).received == "a");
    }
    SECTION("takes an end without credit") {
        s.feed(data(1, 1000) + " " + frame_text(1, 0x02));
        s.take(o, 1000);
        CHECK(s.told() == lines{"end 1"});
    }
    SECTION("grants what was read, when it is a quarter of the window") {
        s.feed(data(1, 600));
        s.take(o, 249);
        CHECK(s.stream_frames().empty());
        s.take(o, 1);
        CHECK(s.stream_frames() == lines{credit_text(1, 1250)});
        CHECK(s.stream_frames().empty());
    }
    SECTION("grants an eighth already when the sender has used all it had") {
        s.feed(data(1, 1000));
        s.take(o, 124);
        CHECK(s.stream_frames().empty());
        s.take(o, 1);
        CHECK(s.stream_frames() == lines{"00 00 00 01 40 00 09 10 00 00 00 00 00 00 04 65"});
    }
    SECTION("sends one grant, the newest, however many are due") {
        s.feed(data(1, 1000));
        for (int i = 0; i < 4; ++i)
            s.take(o, 250);
        CHECK(s.stream_frames() == lines{credit_text(1, 2000)});
    }
    SECTION("takes as much as it has granted") {
        o.reading = true;
        s.feed(data(1, 1000));
        CHECK(s.stream_frames() == lines{credit_text(1, 2000)});
        s.feed(data(1, 1000));
        CHECK(s.told().empty());
        s.stream_frames();
        s.feed(data(1, 1001));
        CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
    }
    SECTION("grants nothing behind the peer's end, nor after a reset") {
        s.feed(data(1, 1000));
        s.take(o, 500);
        const auto last =
            GENERATE(as<std::string>(), "00 00 00 01 02 00 00", "00 00 00 01 20 00 04 00 00 00 02");
        s.feed(last);
        CHECK(s.stream_frames().empty());
    }
}

TEST_CASE("a sender with a credit of 10 bytes") {
    lone_session s(role::client, any_cutting());
    s.establish(10);
    SECTION("sends as much of its request, and the rest when it may") {
        s.open("0123456789abc");
        CHECK(s.stream_frames() == lines{syn(1), frame_text(1, 0x04, hex_of("0123456789"))});
        s.feed(credit_text(1, 12));
        CHECK(s.stream_frames() == lines{frame_text(1, 0x04, hex_of("ab"))});
        s.feed(credit_text(1, 100));
        CHECK(s.stream_frames() == lines{frame_text(1, 0x04, hex_of("c"))});
    }
    SECTION("reads as much from its socket") {
        auto& o = s.open("");
        s.send(o, "0123456789abcdef");
        CHECK(s.stream_frames() == lines{syn(1), frame_text(1, 0x04, hex_of("0123456789"))});
        CHECK(o.to_send == "abcdef");
        CHECK(s.core.statistics().windows_dry == 1);
        s.feed(credit_text(1, 15));
        CHECK(s.stream_frames() == lines{frame_text(1, 0x04, hex_of("abcde"))});
    }
    SECTION("ignores a grant that is not higher") {
        auto& o = s.open("0123456789");
        s.send(o, "abc");
        s.stream_frames();
        s.feed(credit_text(1, 10) + " " + credit_text(1, 0) + " " + credit_text(1, 9));
        CHECK(s.stream_frames().empty());
        s.feed(credit_text(1, 12) + " " + credit_text(1, 11));
        CHECK(s.stream_frames() == lines{frame_text(1, 0x04, hex_of("ab"))});
    }
    SECTION("takes the highest grant that there can be") {
        auto& o = s.open("");
        s.stream_frames();
        s.feed("00 00 00 01 40 00 09 10 40 00 00 00 00 00 00 00");
        CHECK(o.s->send.limit() == std::uint64_t{1} << 62);
    }
    SECTION("needs none for its end") {
        auto& o = s.open("0123456789");
        s.stream_frames();
        s.core.finish(*o.s);
        CHECK(s.stream_frames() == lines{frame_text(1, 0x02)});
    }
    SECTION("needs none for a reset, which does not wait for what cannot go") {
        auto& o = s.open("0123456789abc");
        s.stream_frames();
        s.core.reset(*o.s, reset_code::cancelled);
        CHECK(s.stream_frames() == lines{"00 00 00 01 20 00 04 00 00 00 02"});
    }
    SECTION("does not end before all is sent") {
        auto& o = s.open("0123456789abc");
        s.core.finish(*o.s);
        CHECK(s.stream_frames() == lines{syn(1), frame_text(1, 0x04, hex_of("0123456789"))});
        s.feed(credit_text(1, 100));
        CHECK(s.stream_frames() == lines{frame_text(1, 0x06, hex_of("abc"))});
    }
    SECTION("is in no other stream's way") {
        s.open("0123456789abc");
        s.open("xyz");
        CHECK(s.stream_frames() == lines{syn(1), frame_text(1, 0x04, hex_of("0123456789")), syn(3),
                                         frame_text(3, 0x04, hex_of("xyz"))});
    }
}

TEST_CASE("bytes leave in frames that fill a record") {
    lone_session s(role::client);
    s.establish();
    auto& o = s.open("");
    s.send(o, std::string(40'000, 'x'), true);
    CHECK(s.stream_frames() == lines{syn(1), data(1, 16'377), data(1, 16'377),
                                     frame_text(1, 0x06, hex_of(std::string(7'246, 'x')))});
}

TEST_CASE("a window of 1000 bytes that may grow to 4000") {
    auto settings = with_window(1000, 4000);
    SECTION("doubles while a third of it is read within one round trip") {
        lone_session s(settings);
        s.establish();
        s.feed(syn(1));
        s.feed(data(1, 400)); // The round trip is 0 here: what follows is within it.
        s.feed(data(1, 400));
        CHECK(s.opened(1).s->recv.window() == 2000);
        CHECK(s.stream_frames() == lines{credit_text(1, 2800)});
        CHECK(s.core.memory_held() == 1000); // What is promised above the initial window.
        for (int i = 0; i < 4; ++i)
            s.feed(data(1, 500));
        CHECK(s.opened(1).s->recv.window() == 4000);
        CHECK(s.core.memory_held() == 3000);
        s.feed(frame_text(1, 0x20, "00 00 00 02"));
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("falls back after 5 seconds, but a limit once announced stays") {
        lone_session s(settings);
        s.establish();
        s.feed(syn(1));
        s.feed(data(1, 400));
        s.feed(data(1, 400));
        s.stream_frames();
        s.pass(6s);
        CHECK(s.opened(1).s->recv.window() == 1000);
        s.now += 1ms;
        s.feed(data(1, 2000));
        CHECK(s.told() == lines{"opened 1"});
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("does not grow beyond what the session may hold") {
        settings.session_memory = 900;
        lone_session s(settings);
        s.establish();
        s.feed(syn(1));
        s.feed(data(1, 400));
        s.feed(data(1, 400));
        CHECK(s.opened(1).s->recv.window() == 1000);
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("does not grow while it is read slowly") {
        lone_session s(settings);
        s.establish();
        s.feed(syn(1));
        for (int i = 0; i < 5; ++i) {
            s.now += 1s;
            s.feed(data(1, 400));
            s.sent();
        }
        CHECK(s.opened(1).s->recv.window() == 1000);
    }
}

TEST_CASE("a window begins no larger than it may ever be") {
    lone_session s(with_window(1000, 600));
    s.establish();
    s.feed(syn(1));
    s.opened(1).reading = false;
    s.feed(data(1, 600));
    CHECK(s.opened(1).s->recv.window() == 600);
    s.told();
    s.feed(data(1, 1));
    CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
}

TEST_CASE("a session whose memory others need") {
    lone_session s(with_window(1 << 20, 1 << 20));
    s.establish();
    s.feed(syn(1) + " " + syn(3) + " " + syn(5));
    for (const auto id : {1U, 3U, 5U})
        s.opened(id).reading = false;
    s.feed(bulk(1, 40'000));
    s.feed(bulk(3, 60'000));
    s.feed(bulk(5, 60'000));
    s.feed(bulk(5, 20'000));
    s.told();
    s.stream_frames();
    SECTION("has none to give while its streams have stood still for less than 5 seconds") {
        CHECK(s.core.most_stalled(s.now + 4s) == 0);
        s.core.shed_most_stalled(s.now + 4s);
        CHECK(s.told().empty());
    }
    SECTION("gives up the stream with most unread bytes of those that stand still") {
        s.pass(4s);
        s.take(s.opened(5), 1);
        s.pass(2s);
        CHECK(s.core.most_stalled(s.now) == 60'000);
        s.core.shed_most_stalled(s.now);
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 3)});
        CHECK(s.stream_frames() == lines{"00 00 00 03 20 00 04 00 00 00 05"});
        CHECK(s.core.most_stalled(s.now) == 40'000);
    }
    SECTION("gives nothing when all is read") {
        for (const auto id : {1U, 3U, 5U})
            s.take(s.opened(id), 100'000);
        s.pass(6s);
        CHECK(s.core.most_stalled(s.now) == 0);
    }
}

TEST_CASE("a session over its bound of memory sheds") {
    auto settings = with_window(1 << 20, 1 << 20);
    settings.session_memory = 250'000;
    settings.resume = false;
    lone_session s(settings);
    s.establish();
    s.feed(syn(1) + " " + syn(3) + " " + syn(5));
    s.told();
    for (const auto id : {1U, 3U, 5U})
        s.opened(id).reading = false;
    SECTION("the stream with most unread bytes") {
        s.feed(bulk(1, 60'000));
        for (int i = 0; i < 3; ++i)
            s.feed(bulk(3, 60'000));
        s.feed(bulk(5, 60'000));
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 3)});
        CHECK(s.stream_frames() == lines{"00 00 00 03 20 00 04 00 00 00 05"});
    }
    SECTION("before it, one that has not moved for 5 seconds") {
        s.feed(bulk(1, 60'000));
        s.pass(6s);
        for (int i = 0; i < 3; ++i)
            s.feed(bulk(3, 60'000));
        s.take(s.opened(3), 1);
        s.feed(bulk(5, 60'000));
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 1)});
    }
    SECTION("and never the link, nor a stream that is read") {
        s.opened(5).reading = true;
        for (int i = 0; i < 20; ++i) {
            s.feed(bulk(1, 50'000));
            s.feed(bulk(5, 50'000));
            s.stream_frames();
        }
        CHECK(s.opened(5).received.size() == 1'000'000);
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 1)});
        CHECK(s.core.attached());
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("and holds nothing when all is over") {
        for (int i = 0; i < 4; ++i)
            for (const auto id : {1U, 3U, 5U})
                s.feed(bulk(id, 60'000));
        s.core.close(close_code::normal, errc::closed_locally, "over");
        s.sent();
        CHECK(s.core.memory_held() == 0);
        CHECK(s.core.stream_count() == 0);
    }
}
