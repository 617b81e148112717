/// \file
/// How a session goes on on a new link, in both roles, byte by byte. The vectors are those of
/// docs/PROTOCOL.md; many links that break anywhere are for tests/sim.

#include "tests/catch.hpp"
#include "tests/protocol/lone_session.hpp"
#include "tests/vectors/hex.hpp"

#include <numeric>

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
const std::string fin = "00 00 00 01 02 00 00";
std::string data(char byte) { return "00 00 00 01 04 00 01 " + hex_of({&byte, 1}); }

const std::string resume = "00 00 00 00 40 00 4e "
                           "21 02 a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae af "
                           "00 00 00 01 "             // epoch 1
                           "00 00 00 00 00 00 00 07 " // recv_frames
                           "c0 c1 c2 c3 c4 c5 c6 c7 c8 c9 ca cb cc cd ce cf "
                           "bb 20 bf 39 db 06 bb 8e 46 dd d4 23 44 f4 99 df "
                           "92 d3 ed 2c d0 b3 50 94 bd 31 95 0a b8 93 64 65";
const std::string resume_ok = "00 00 00 00 40 00 35 22 "
                              "00 00 00 01 "             // epoch 1
                              "00 00 00 00 00 00 00 03 " // recv_frames
                              "00 00 00 00 00 00 00 08 " // first_frame
                              "2d 85 ba 38 f2 b3 ef 67 84 5d fe 01 29 3b 92 18 "
                              "ad be 15 10 dc 31 dd cb 66 2d 2c 1f b5 eb c7 0d";
const std::string start = "00 00 00 00 40 00 09 24 00 00 00 00 00 00 00 04";
std::string start_at(std::uint64_t frame) { return control_text("24 " + hex_u64(frame)); }
std::string ack(std::uint64_t frames) { return control_text("20 " + hex_u64(frames)); }

octets new_exporter() {
    octets out(32);
    std::iota(out.begin(), out.end(), std::uint8_t{0x40});
    return out;
}

void lose_link(lone_session& s) {
    s.core.on_link_lost(errc::link_lost, s.now);
    CHECK(s.told() == lines{"detached: " + message(errc::link_lost)});
}

std::optional<resume_fail_frame> on_resume(lone_session& s, std::string_view text) {
    const auto frame = decode_resume(bytes_view(hex(text)).subspan(frame_header_size));
    REQUIRE(frame);
    return s.core.on_resume(*frame, new_exporter(), s.now);
}

/// A client that has sent 3 counted frames and processed 7, without a link.
struct detached_client {
    explicit detached_client(cutting how = cutting::whole) : s(role::client, how) {
        s.establish_as_documented();
        o = &s.open("a");
        s.sent();
        s.core.finish(*o->s);
        CHECK(s.sent() == lines{fin});
        for (const char byte : std::string("bcdefgh"))
            s.feed(data(byte));
        CHECK(o->received == "bcdefgh");
        lose_link(s);
    }
    lone_session s;
    lone_session::owner* o;
};

/// The server of the same session: it has processed 3 counted frames and sent 7.
struct detached_server {
    explicit detached_server(cutting how = cutting::whole) : s(role::server, how) {
        s.establish_as_documented();
        s.feed(syn + " " + data('a') + " " + fin);
        o = &s.opened(1);
        for (const char byte : std::string("bcdefgh")) {
            s.send(*o, {&byte, 1});
            CHECK(s.stream_frames() == lines{data(byte)});
        }
        s.told();
        lose_link(s);
    }
    lone_session s;
    lone_session::owner* o;
};

} // namespace

TEST_CASE("a client resumes its session") {
    detached_client client;
    auto& s = client.s;
    CHECK(to_hex(s.core.make_resume(new_exporter(), s.now)) == resume);
    SECTION("with RESUME, and START for RESUME_OK") {
        const auto answer = hex(resume_ok);
        for (std::size_t size = 0; size < answer.size(); ++size)
            CHECK(s.core.on_resume_answer(bytes_view(answer).first(size), s.now).status ==
                  session::resume_status::need_more);
        const auto result = s.core.on_resume_answer(answer, s.now);
        CHECK(result.status == session::resume_status::resumed);
        CHECK(result.used == answer.size());
        CHECK(s.told() == lines{"resumed"});
        CHECK(s.sent() == lines{start});
        s.feed(data('i')); // Frame 8.
        CHECK(client.o->received == "bcdefghi");
    }
    SECTION("with control frames of unknown types from 0x80 on in front of the answer") {
        const auto unknown = hex("00 00 00 00 40 00 01 80 00 00 00 09 40 00 03 ff 01 02");
        auto answer = unknown;
        const auto ok = hex(resume_ok);
        answer.insert(answer.end(), ok.begin(), ok.end());
        std::size_t used = 0;
        for (std::size_t size = 0; size < answer.size(); ++size) {
            const auto result =
                s.core.on_resume_answer(bytes_view(answer).first(size).subspan(used), s.now);
            CHECK(result.status == session::resume_status::need_more);
            used += result.used;
            CHECK(used == (size < 8 ? 0 : size < unknown.size() ? 8 : unknown.size()));
        }
        const auto result = s.core.on_resume_answer(bytes_view(answer).subspan(used), s.now);
        CHECK(result.status == session::resume_status::resumed);
        CHECK(result.used == ok.size());
        CHECK(s.sent() == lines{start});
    }
    SECTION("but not with more than 16 of them") {
        std::string many;
        for (int i = 0; i < 17; ++i)
            many += "00 00 00 00 40 00 01 80 ";
        CHECK(s.core.on_resume_answer(hex(many + resume_ok), s.now).status ==
              session::resume_status::fault);
        CHECK_FALSE(s.core.closed());
        CHECK(s.told().empty());
    }
    SECTION("and drops what it has processed already") {
        CHECK(s.core.on_resume_answer(hex(resume_ok), s.now).status ==
              session::resume_status::resumed);
        s.sent();
        CHECK(s.core.statistics().duplicates == 0);
    }
    SECTION("not with a proof that is wrong, nor with another epoch") {
        auto wrong = hex(resume_ok);
        wrong[GENERATE(10, 11, 20, 30, 59)] ^= 1;
        const auto result = s.core.on_resume_answer(wrong, s.now);
        CHECK(result.status == session::resume_status::fault);
        CHECK(s.told().empty());
        CHECK_FALSE(s.core.closed());
    }
    SECTION("not with anything else for an answer") {
        const auto wrong =
            GENERATE(as<std::string>(), "00 00 00 00 20 00 00",
                     "00 00 00 00 08 00 08 00 00 00 00 00 00 00 01", "00 00 00 00 40 00 01 01",
                     "00 00 00 01 40 00 01 22", "00 00 00 00 40 00 01 7f",
                     "00 00 00 00 40 00 02 22 00", "00 00 00 00 05 00 00");
        CHECK(s.core.on_resume_answer(hex(wrong), s.now).status == session::resume_status::fault);
        CHECK_FALSE(s.core.closed());
    }
    SECTION("or hears why it cannot") {
        const auto [code, failure] =
            GENERATE(table<std::string, resume_failure>({{"01", resume_failure::unknown_session},
                                                         {"02", resume_failure::position_lost},
                                                         {"03", resume_failure::superseded},
                                                         {"04", resume_failure::try_later}}));
        const auto result =
            s.core.on_resume_answer(hex("00 00 00 00 40 00 06 23 " + code + " 00 00 00 00"), s.now);
        CHECK(result.status == session::resume_status::failed);
        CHECK(result.failure.code == failure);
    }
    SECTION("with a higher epoch at each try") {
        const auto again = to_hex(s.core.make_resume(new_exporter(), s.now));
        CHECK(again.substr(0, 75) == resume.substr(0, 75));
        CHECK(again.substr(75, 11) == "00 00 00 02");
    }
}

TEST_CASE("a server's session is resumed") {
    detached_server server(any_cutting());
    auto& s = server.s;
    SECTION("by a RESUME that is proven") {
        CHECK_FALSE(on_resume(s, resume));
        CHECK(s.told() == lines{"resumed"});
        CHECK(s.sent() == lines{resume_ok});
        SECTION("and goes on with what START says") {
            // Frames 2 and 3 again, which it has, and then a new one.
            s.feed(start_at(2) + " " + data('a') + " " + fin + " 00 00 00 03 01 00 00");
            CHECK(s.told() == lines{"opened 3"});
            CHECK(s.core.statistics().duplicates == 2);
            CHECK(server.o->received == "a");
            CHECK(s.sent() == lines{});
            s.pass(20ms);
            CHECK(s.sent() == lines{ack(4)});
        }
        SECTION("but takes nothing before START except PING") {
            s.feed("00 00 00 00 08 00 08 00 00 00 00 00 00 00 05");
            CHECK(s.sent() == lines{"00 00 00 00 10 00 08 00 00 00 00 00 00 00 05"});
            s.feed(GENERATE(as<std::string>(), "00 00 00 03 01 00 00",
                            "00 00 00 00 40 00 09 20 00 00 00 00 00 00 00 01",
                            "00 00 00 01 40 00 09 10 00 00 00 00 00 10 00 00"));
            CHECK(s.sent() == lines{close_text(errc::control_out_of_order)});
        }
        SECTION("not with frames left out") {
            s.feed(start_at(5));
            CHECK(s.sent() == lines{close_text(errc::replay_gap)});
        }
        SECTION("not with START that is wrong") {
            s.feed(GENERATE(as<std::string>(), "00 00 00 00 40 00 09 24 00 00 00 00 00 00 00 00",
                            "00 00 00 00 40 00 08 24 00 00 00 00 00 00 00",
                            "00 00 00 01 40 00 09 24 00 00 00 00 00 00 00 04"));
            CHECK(s.sent() == lines{close_text(errc::bad_control_frame)});
        }
        SECTION("not with a second START") {
            s.feed(start + " " + start);
            CHECK(s.sent() == lines{close_text(errc::control_out_of_order)});
        }
        SECTION("and not by the same RESUME again") {
            const auto failure = on_resume(s, resume);
            REQUIRE(failure);
            CHECK(failure->code == resume_failure::unknown_session);
            CHECK(s.core.attached());
        }
    }
    SECTION("not by one that is not") {
        auto wrong = resume;
        const auto at = static_cast<std::size_t>(GENERATE(85, 108, 120, 201));
        wrong[at] = wrong[at] == '0' ? '1' : '0';
        const auto failure = on_resume(s, wrong);
        REQUIRE(failure);
        CHECK(failure->code == resume_failure::unknown_session);
        CHECK_FALSE(s.core.attached());
        CHECK_FALSE(on_resume(s, resume)); // Its epoch was not raised by that.
    }
}

TEST_CASE("a server sends again what has not arrived") {
    lone_session s(role::server);
    s.establish_as_documented();
    s.feed(syn);
    for (const char byte : std::string("abc")) {
        s.send(s.opened(1), {&byte, 1});
        s.sent();
    }
    s.core.go_away(close_code::shutting_down, 0s, "");
    s.sent();
    s.told();
    lose_link(s);
    // The client has processed the first of the three.
    resume_frame asked;
    asked.id = s.core.id();
    asked.epoch = 7;
    asked.recv_frames = 1;
    const auto secret = hex("91 12 a2 d5 a3 fc 08 6d d6 79 11 9e 2d 22 27 5a "
                            "ff bb d3 6b 96 83 59 8a 21 5a d6 c6 9a c0 a6 4f");
    digest key{};
    std::copy(secret.begin(), secret.end(), key.begin());
    const auto crypto = lone_session::settings_of(role::server).crypto;
    asked.proof = client_resume_proof(crypto, key, asked, new_exporter());
    SECTION("in the same frames, and GOAWAY before them") {
        CHECK_FALSE(s.core.on_resume(asked, new_exporter(), s.now));
        auto frames = s.sent();
        REQUIRE(frames.size() == 4);
        CHECK(frames[0].substr(21, 2) == "22"); // RESUME_OK
        CHECK(frames[1] == control_text("30 00 00 00 01 03 00 00 00 00"));
        CHECK(frames[2] == data('b'));
        CHECK(frames[3] == data('c'));
    }
    SECTION("unless the client claims more than was sent") {
        asked.recv_frames = 4;
        asked.proof = client_resume_proof(crypto, key, asked, new_exporter());
        const auto failure = s.core.on_resume(asked, new_exporter(), s.now);
        REQUIRE(failure);
        CHECK(failure->code == resume_failure::position_lost);
        CHECK(s.core.closed());
    }
}
