/// \file
/// Frames at an established session: which are legal, how each illegal one ends the session, and
/// that what they are cut into makes no difference.

#include "tests/catch.hpp"
#include "tests/protocol/lone_session.hpp"
#include "tests/vectors/hex.hpp"

using namespace muxsocks;
using namespace muxsocks::tests;
using namespace std::chrono_literals;
using lines = lone_session::lines;

namespace {

const std::string zeros16 = "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";

cutting any_cutting() {
    return GENERATE(cutting::whole, cutting::byte_by_byte, cutting::at_random);
}

void check_fault(lone_session& s, const std::string& received, errc why) {
    INFO("received: " << received);
    s.feed(received);
    CHECK(s.sent() == lines{close_text(why)});
    CHECK(s.told().back() == "closed: " + make_error_code(why).message());
    CHECK(s.core.closed());
    // Nothing that comes behind it is looked at.
    s.feed("00 00 00 00 08 00 08 00 00 00 00 00 00 00 01");
    CHECK(s.sent().empty());
    CHECK(s.told().empty());
}

/// What a header of the flags with no payload must end the session with, from its flags alone.
std::optional<errc> fault_of_flags(unsigned flags, bool on_stream) {
    switch (flags) {
    case 0x01: // SYN, empty
    case 0x02: // FIN
    case 0x04: // DATA
    case 0x06: // DATA, FIN
        return on_stream ? std::nullopt : std::optional(errc::frame_on_stream_zero);
    case 0x20: // RST without its code
        return on_stream ? errc::bad_frame_length : errc::frame_on_stream_zero;
    case 0x08: // PING, PONG without their token
    case 0x10:
        return on_stream ? errc::ping_on_stream : errc::bad_frame_length;
    case 0x40: // CTRL without its type
        return errc::bad_frame_length;
    default:
        return errc::illegal_flags;
    }
}

} // namespace

TEST_CASE("each of the 256 values of flags") {
    const bool on_stream = GENERATE(false, true);
    for (unsigned flags = 0; flags < 256; ++flags) {
        const auto why = fault_of_flags(flags, on_stream);
        if (!why) continue;
        lone_session s(role::server);
        s.establish();
        s.feed("00 00 00 01 01 00 00");
        s.told();
        check_fault(s, frame_text(on_stream ? 1 : 0, flags), *why);
    }
}

TEST_CASE("a frame is judged by its header before its payload has come") {
    lone_session s(role::server, any_cutting());
    s.establish();
    SECTION("with illegal flags") { check_fault(s, "00 00 00 01 05 ff ff", errc::illegal_flags); }
    SECTION("with a length that its type does not have") {
        check_fault(s, "00 00 00 01 01 ff ff", errc::bad_frame_length);
    }
    SECTION("but is acted upon when it is complete") {
        s.feed("00 00 00 01 01 00 00 00 00 00 01 04 00 03 61 62");
        CHECK(s.opened(1).received.empty());
        s.feed("63");
        CHECK(s.opened(1).received == "abc");
    }
}

TEST_CASE("the largest frame that there can be") {
    lone_session s(role::server, GENERATE(cutting::whole, cutting::at_random));
    s.establish();
    const std::string text(65'535, 'x');
    s.feed("00 00 00 01 01 00 00");
    s.feed(frame_bytes(1, 0x04, text));
    CHECK(s.opened(1).received == text);
    CHECK(s.told() == lines{"opened 1"});
}

TEST_CASE("frames that must not come to an established server") {
    lone_session s(role::server, any_cutting());
    s.establish();
    s.feed("00 00 00 05 01 00 00"); // SYN on stream 5
    s.told();
    SECTION("SYN with an id that does not rise") {
        check_fault(s, GENERATE(as<std::string>(), "00 00 00 05 01 00 00", "00 00 00 03 01 00 00"),
                    errc::bad_stream_id);
    }
    SECTION("SYN with an id of the server's") {
        check_fault(s, "00 00 00 08 01 00 00", errc::bad_stream_id);
    }
    SECTION("anything but SYN on a new id") {
        check_fault(s,
                    GENERATE(as<std::string>(), "00 00 00 07 04 00 01 78", "00 00 00 07 02 00 00",
                             "00 00 00 07 06 00 01 78", "00 00 00 07 20 00 04 00 00 00 02",
                             "00 00 00 07 40 00 09 10 00 00 00 00 00 10 00 00",
                             "00 00 00 02 04 00 01 78"),
                    errc::frame_before_syn);
    }
    SECTION("frames of the handshake, of resumption, and those of the server's") {
        const auto type = GENERATE(as<std::string>(), "01", "02", "03", "04", "21", "22", "23",
                                   "24 00 00 00 00 00 00 00 01");
        check_fault(s, control_text(type), errc::control_out_of_order);
    }
    SECTION("GOAWAY, which only a server sends") {
        check_fault(s, control_text("30 00 00 00 00 00 00 00 00 00"), errc::control_out_of_order);
    }
    SECTION("unknown types below 0x80") {
        check_fault(s, control_text(GENERATE(as<std::string>(), "00", "05", "11", "32", "7f")),
                    errc::unknown_control_frame);
    }
    SECTION("ACK of what was never sent") {
        check_fault(s, control_text("20 00 00 00 00 00 00 00 01"), errc::ack_beyond_sent);
    }
    SECTION("CREDIT above 2^62") {
        check_fault(s, frame_text(5, 0x40, "10 40 00 00 00 00 00 00 01"), errc::credit_too_large);
    }
    SECTION("fields that are cut off, too long or on the wrong stream") {
        check_fault(s,
                    GENERATE(as<std::string>(),
                             "00 00 00 05 40 00 08 10 00 00 00 00 00 00 00",       // CREDIT
                             "00 00 00 05 40 00 0a 10 00 00 00 00 00 00 00 00 00", //
                             "00 00 00 00 40 00 09 10 00 00 00 00 00 00 00 00",    //
                             "00 00 00 00 40 00 08 20 00 00 00 00 00 00 00",       // ACK
                             "00 00 00 00 40 00 0a 20 00 00 00 00 00 00 00 00 00", //
                             "00 00 00 05 40 00 09 20 00 00 00 00 00 00 00 00",    //
                             "00 00 00 00 40 00 01 31"),                           // CLOSE
                    errc::bad_control_frame);
    }
    SECTION("CLOSE on a stream") {
        check_fault(s, frame_text(5, 0x40, "31 00"), errc::control_out_of_order);
    }
}

TEST_CASE("frames that must not come to an established client") {
    lone_session s(role::client, any_cutting());
    s.establish();
    s.open("hi");
    s.sent();
    SECTION("anything on an id that it has not opened") {
        check_fault(s,
                    GENERATE(as<std::string>(), "00 00 00 03 04 00 01 78", "00 00 00 03 02 00 00",
                             "00 00 00 03 20 00 04 00 00 00 02",
                             "00 00 00 03 40 00 09 10 00 00 00 00 00 10 00 00",
                             "00 00 00 02 04 00 01 78"),
                    errc::frame_before_syn);
    }
    SECTION("SYN with an id of the client's") {
        check_fault(s, "00 00 00 03 01 00 00", errc::bad_stream_id);
    }
    SECTION("GOAWAY that is cut off or on a stream") {
        check_fault(s,
                    GENERATE(as<std::string>(), "00 00 00 00 40 00 09 30 00 00 00 00 00 00 00 00",
                             "00 00 00 01 40 00 0a 30 00 00 00 00 00 00 00 00 00"),
                    errc::bad_control_frame);
    }
    SECTION("answers to RESUME and AUTH") {
        check_fault(s, control_text(GENERATE(as<std::string>(), "03", "04", "22", "23")),
                    errc::control_out_of_order);
    }
}

TEST_CASE("unknown types from 0x80 on are ignored on any stream") {
    const auto side = GENERATE(role::client, role::server);
    lone_session s(side, any_cutting());
    s.establish();
    s.feed("00 00 00 00 40 00 01 80 00 00 00 00 40 00 03 ff 01 02 "
           "00 00 00 07 40 00 01 80 00 00 00 08 40 00 02 fe 00");
    CHECK(s.sent().empty());
    CHECK(s.told().empty());
    CHECK_FALSE(s.core.closed());
}

TEST_CASE("a frame that has begun") {
    lone_session s(role::server);
    s.establish();
    SECTION("must be complete within 30 seconds, whatever else keeps the link alive") {
        s.feed("00 00 00 01 01 00 00 00 00 00 01 04 00 64");
        for (int i = 0; i < 29; ++i) {
            s.pass(1s);
            s.feed("78");
        }
        s.told();
        s.pass(1s);
        CHECK(s.told() == lines{"detached: " + make_error_code(errc::frame_timeout).message()});
        CHECK_FALSE(s.core.attached());
    }
    SECTION("has its own time, not that of the one before it") {
        s.feed("00 00 00 01 01 00");
        s.pass(20s);
        s.feed("00 00 00 00 03 01");
        s.pass(14s);
        s.feed("00");
        s.pass(9s);
        s.feed("00");
        CHECK(s.told() == lines{"opened 1", "opened 3"});
        CHECK(s.core.attached());
    }
}
