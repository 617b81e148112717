/// \file
/// Streams at one session: how they begin, half-close, end and reset, and what comes too late.

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
const std::string data_fin_c = "00 00 00 01 06 00 01 63";
const std::string rst_refused = "00 00 00 01 20 00 04 00 00 00 01";
const std::string rst_cancelled = "00 00 00 01 20 00 04 00 00 00 02";
const std::string rst_internal = "00 00 00 01 20 00 04 00 00 00 04";

std::string reset_for(errc why, std::uint32_t id = 1) {
    return "reset " + std::to_string(id) + ": " + make_error_code(why).message();
}

} // namespace

TEST_CASE("a client's stream") {
    lone_session s(role::client, any_cutting());
    s.establish();
    auto& o = s.open("ab");
    SECTION("begins with SYN and its request in one turn") {
        CHECK(s.stream_frames() == lines{syn, data_ab});
    }
    SECTION("has the next odd id") {
        s.open("");
        s.open("ab");
        CHECK(s.stream_frames() == lines{syn, data_ab, "00 00 00 03 01 00 00",
                                         "00 00 00 05 01 00 00", "00 00 00 05 04 00 02 61 62"});
    }
    SECTION("vanishes if it is reset before its SYN has gone") {
        s.core.reset(*o.s, reset_code::cancelled);
        s.release(o);
        CHECK(s.stream_frames().empty());
        CHECK(s.core.opening_count() == 0);
        s.open("ab");
        CHECK(s.stream_frames() == lines{syn, data_ab}); // The id was not used.
    }
    SECTION("waits while the server's max_streams are open") {
        lone_session narrow(role::client);
        narrow.establish(1 << 18, 1);
        auto& first = narrow.open("");
        narrow.open("");
        CHECK(narrow.stream_frames() == lines{syn});
        CHECK(narrow.core.opening_count() == 1);
        narrow.core.finish(*first.s);
        narrow.feed(fin);
        CHECK(narrow.stream_frames() == lines{fin, "00 00 00 03 01 00 00"});
    }
    SECTION("passes on what comes, and its end") {
        s.stream_frames();
        s.feed(data_ab + " " + data_fin_c);
        CHECK(o.received == "abc");
        CHECK(s.told() == lines{"end 1"});
    }
    SECTION("that the server refuses tells so") {
        s.stream_frames();
        s.feed(rst_refused);
        CHECK(s.told() == lines{reset_for(errc::stream_refused)});
        CHECK(s.stream_frames().empty());
        CHECK(s.core.stream_count() == 0);
    }
    SECTION("never takes a stream from the server") {
        s.stream_frames();
        s.feed("00 00 00 02 01 00 00");
        CHECK(s.stream_frames() == lines{"00 00 00 02 20 00 04 00 00 00 01"});
        s.feed("00 00 00 02 04 00 01 78 00 00 00 02 02 00 00"); // It is closed.
        CHECK(s.stream_frames().empty());
        CHECK(s.told().empty());
    }
}

TEST_CASE("each code of RST tells its own reason") {
    const auto [code, why] =
        GENERATE(table<std::string, errc>({{"00 00 00 01", errc::stream_refused},
                                           {"00 00 00 02", errc::stream_cancelled},
                                           {"00 00 00 03", errc::stream_flow_control},
                                           {"00 00 00 04", errc::stream_internal},
                                           {"00 00 00 05", errc::stream_shed},
                                           {"00 00 00 06", errc::stream_denied},
                                           {"00 00 00 00", errc::stream_reset_by_peer},
                                           {"ff ff ff ff", errc::stream_reset_by_peer}}));
    lone_session s(role::client, any_cutting());
    s.establish();
    s.open("");
    s.stream_frames();
    s.feed("00 00 00 01 20 00 04 " + code);
    CHECK(s.told() == lines{reset_for(why)});
}

TEST_CASE("a stream that the peer has half-closed") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed(syn + " " + data_ab + " " + fin);
    CHECK(s.told() == lines{"opened 1", "end 1"});
    auto& o = s.opened(1);
    SECTION("still sends, and is over with its own end") {
        s.send(o, "xy", true);
        CHECK(s.stream_frames() == lines{"00 00 00 01 06 00 02 78 79"});
        CHECK(s.core.stream_count() == 0);
        s.release(o);
        CHECK(s.stream_frames().empty());
        CHECK(s.core.statistics().half_closes == 1);
    }
    SECTION("is reset by DATA, FIN or both behind the end") {
        s.feed(GENERATE(as<std::string>(), data_ab, fin, data_fin_c));
        CHECK(s.told() == lines{reset_for(errc::stream_internal)});
        CHECK(s.stream_frames() == lines{rst_internal});
        CHECK_FALSE(s.core.closed());
    }
    SECTION("may still be reset") {
        s.feed(rst_cancelled);
        CHECK(s.told() == lines{reset_for(errc::stream_cancelled)});
        CHECK(s.stream_frames().empty());
    }
    SECTION("gets no more credit, and may send some") {
        s.feed("00 00 00 01 40 00 09 10 00 00 00 00 00 10 00 00");
        CHECK(s.told().empty());
        CHECK(o.s->send.limit() == 0x100000);
    }
}

TEST_CASE("a stream that we have half-closed") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed(syn);
    auto& o = s.opened(1);
    s.core.finish(*o.s);
    CHECK(s.stream_frames() == lines{fin});
    s.told();
    SECTION("still receives, and is over with the peer's end") {
        s.feed(data_ab + " " + data_fin_c);
        CHECK(o.received == "abc");
        CHECK(s.told() == lines{"end 1"});
        CHECK(s.core.stream_count() == 0);
    }
    SECTION("sends nothing more, whatever its owner does") {
        s.core.write(*o.s, hex("61"));
        s.send(o, "xy");
        s.core.finish(*o.s);
        CHECK(s.stream_frames().empty());
    }
    SECTION("is not counted as a half-close of the peer's") {
        s.feed(fin);
        CHECK(s.core.statistics().half_closes == 0);
    }
    SECTION("is reset if its owner lets go of it before the end") {
        s.release(o);
        CHECK(s.stream_frames() == lines{rst_cancelled});
    }
}

TEST_CASE("both ends may be in the first frames") {
    lone_session s(role::client, any_cutting());
    s.establish();
    auto& o = s.open("ab");
    s.core.finish(*o.s);
    CHECK(s.stream_frames() == lines{syn, "00 00 00 01 06 00 02 61 62"});
    s.feed(data_fin_c);
    CHECK(o.received == "c");
    CHECK(s.core.stream_count() == 0);
}

TEST_CASE("a stream that its owner resets") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed(syn + " " + data_ab);
    auto& o = s.opened(1);
    s.told();
    const auto code = GENERATE(reset_code::refused, reset_code::cancelled, reset_code::internal,
                               reset_code::denied);
    s.core.reset(*o.s, code);
    SECTION("sends RST with the code, and nothing else") {
        s.send(o, "xy");
        CHECK(s.stream_frames() ==
              lines{frame_text(1, 0x20, "00 00 00 0" + std::to_string(unsigned(code)))});
        CHECK(s.core.stream_count() == 0);
    }
    SECTION("takes nothing more from the peer, and gives no answer to it") {
        s.stream_frames();
        s.feed(data_ab + " " + fin + " " + data_ab + " " + rst_cancelled +
               " 00 00 00 01 40 00 09 10 00 00 00 00 00 10 00 00");
        CHECK(s.stream_frames().empty());
        CHECK(s.told().empty());
        CHECK(o.received == "ab");
    }
}

TEST_CASE("what comes for a stream that is closed is ignored, for ever") {
    const auto late =
        GENERATE(as<std::string>(), "00 00 00 01 04 00 02 61 62", "00 00 00 01 06 00 00",
                 "00 00 00 01 02 00 00", "00 00 00 01 20 00 04 00 00 00 02",
                 "00 00 00 01 40 00 09 10 00 00 00 00 00 10 00 00", "00 00 00 03 04 00 02 61 62",
                 "00 00 00 03 02 00 00", "00 00 00 03 20 00 04 00 00 00 02");
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed(syn + " 00 00 00 05 01 00 00"); // 3 is skipped: closed without ever being open.
    SECTION("after RST of the peer's") { s.feed(rst_cancelled); }
    SECTION("after RST of ours") { s.core.reset(*s.opened(1).s, reset_code::cancelled); }
    SECTION("after two ends") {
        s.feed(fin);
        s.core.finish(*s.opened(1).s);
    }
    SECTION("after a refusal and the peer's end") {
        s.core.refuse(*std::exchange(s.opened(1).s, nullptr), hex("05 05"));
        s.feed(fin);
    }
    s.stream_frames();
    s.told();
    for (const auto time : {0s, 3600s}) {
        s.now += time;
        s.feed(late);
        CHECK(s.told().empty());
        CHECK(s.stream_frames().empty());
    }
}

TEST_CASE("a refusal") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed(syn + " " + data_ab);
    auto& o = s.opened(1);
    s.told();
    s.core.refuse(*std::exchange(o.s, nullptr), hex("05 05 00 01 00 00 00 00 00 00"));
    SECTION("is one frame with reply and end") {
        CHECK(s.stream_frames() == lines{"00 00 00 01 06 00 0a 05 05 00 01 00 00 00 00 00 00"});
    }
    SECTION("is over with the peer's end") {
        s.stream_frames();
        s.feed(data_ab + " " + fin);
        CHECK(s.core.stream_count() == 0);
        CHECK(s.stream_frames().empty());
    }
    SECTION("gives no credit for what it throws away, and what goes beyond it is a fault") {
        s.stream_frames();
        const auto much = frame_bytes(1, 0x04, std::string(65'000, 'x'));
        for (int i = 0; i < 4; ++i)
            s.feed(much);
        CHECK(s.stream_frames().empty());
        s.feed(much);
        CHECK(s.stream_frames() == lines{"00 00 00 01 20 00 04 00 00 00 03"});
    }
    SECTION("throws away what comes for 10 seconds, then resets the stream") {
        s.stream_frames();
        s.feed(data_ab);
        s.pass(9999ms);
        CHECK(s.core.stream_count() == 1);
        s.stream_frames();
        s.pass(1ms);
        CHECK(s.stream_frames() == lines{rst_cancelled});
        CHECK(s.core.stream_count() == 0);
    }
}

TEST_CASE("a reset waits for the reply that was written before it") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed(syn);
    auto& o = s.opened(1);
    s.core.write(*o.s, hex("05 02"));
    s.core.reset(*o.s, reset_code::denied);
    CHECK(s.stream_frames() ==
          lines{"00 00 00 01 04 00 02 05 02", "00 00 00 01 20 00 04 00 00 00 06"});
}

TEST_CASE("above its limit of streams a server") {
    auto settings = lone_session::settings_of(role::server);
    settings.max_streams = 2;
    lone_session s(settings, any_cutting());
    s.establish();
    s.feed("00 00 00 01 01 00 00 00 00 00 03 01 00 00 00 00 00 05 01 00 00 "
           "00 00 00 05 04 00 01 78");
    SECTION("refuses, and ignores what follows") {
        CHECK(s.told() == lines{"opened 1", "opened 3"});
        CHECK(s.stream_frames() == lines{"00 00 00 05 20 00 04 00 00 00 01"});
    }
    SECTION("takes the next one when one has ended") {
        s.told();
        s.stream_frames();
        s.feed(rst_cancelled + " 00 00 00 07 01 00 00");
        CHECK(s.told() == lines{reset_for(errc::stream_cancelled), "opened 7"});
        CHECK(s.stream_frames().empty());
    }
}

TEST_CASE("a user's own limit of streams holds without being announced") {
    auto settings = lone_session::settings_of(role::server);
    settings.find_user = [find = settings.find_user](std::string_view user) {
        auto found = find(user);
        if (found) found->max_streams = 1;
        return found;
    };
    lone_session s(settings);
    s.establish();
    s.feed("00 00 00 01 01 00 00 00 00 00 03 01 00 00");
    CHECK(s.told() == lines{"opened 1"});
    CHECK(s.stream_frames() == lines{"00 00 00 03 20 00 04 00 00 00 01"});
}

TEST_CASE("many frames of many streams stay with their streams") {
    lone_session s(role::server, any_cutting());
    s.establish();
    std::string received;
    for (unsigned id = 1; id < 20; id += 2)
        received += frame_text(id, 0x01) + " ";
    for (int round = 0; round < 3; ++round)
        for (unsigned id = 1; id < 20; id += 2)
            received += frame_text(id, 0x04, hex_of(std::to_string(id) + ",")) + " ";
    s.feed(received);
    for (unsigned id = 1; id < 20; id += 2) {
        const auto word = std::to_string(id) + ",";
        CHECK(s.opened(id).received == word + word + word);
    }
}
