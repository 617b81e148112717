/// \file
/// How a session begins, in both roles, byte by byte. The vectors are those of docs/PROTOCOL.md.

#include "tests/catch.hpp"
#include "tests/protocol/lone_session.hpp"
#include "tests/vectors/handshake.hpp"

using namespace muxsocks;
using namespace muxsocks::tests;
using namespace muxsocks::tests::vectors;
using namespace std::chrono_literals;
using lines = lone_session::lines;

namespace {

const std::string syn = "00 00 00 01 01 00 00";
const std::string ping = "00 00 00 00 08 00 08 00 00 00 00 00 00 00 01";
const std::string pong = "00 00 00 00 10 00 08 00 00 00 00 00 00 00 01";
const std::string v1_rst = "00 00 00 00 20 00 00";

cutting any_cutting() {
    return GENERATE(cutting::whole, cutting::byte_by_byte, cutting::at_random);
}

/// That many frames of a type that is unknown and ignored, each with `size` bytes behind the type.
std::string extensions(int count, std::size_t size) {
    std::string frames;
    for (int i = 0; i < count; ++i)
        frames += control_text("80 " + hex_of(std::string(size, 'x'))) + " ";
    return frames;
}

std::string closed_for(errc why) { return "closed: " + make_error_code(why).message(); }

/// The same frame with its last byte changed.
std::string spoilt(std::string frame) {
    frame.back() = frame.back() == '0' ? '1' : '0';
    return frame;
}

std::string server_hello_with(std::string_view version, std::string_view features) {
    auto frame = server_hello;
    return frame.replace(24, 2, version).replace(27, 11, features);
}
std::string client_hello_with(std::string_view version, std::string_view features) {
    auto frame = client_hello;
    return frame.replace(24, 2, version).replace(27, 11, features);
}

} // namespace

TEST_CASE("a client begins a session") {
    lone_session s(role::client, any_cutting());
    s.link_up();
    SECTION("with HELLO, AUTH for the server's HELLO, and is established by AUTH_OK") {
        CHECK(s.sent() == lines{client_hello});
        s.feed(server_hello);
        CHECK(s.sent() == lines{auth});
        CHECK(s.told().empty());
        s.feed(auth_ok);
        CHECK(s.sent().empty());
        CHECK(s.told() == lines{"established"});
        CHECK(s.core.resumable());
        CHECK(s.core.resume_timeout_ms() == 120'000);
        CHECK(s.core.version() == 2);
    }
    SECTION("and sends streams right behind AUTH, but not before") {
        s.open("hi");
        CHECK(s.sent() == lines{client_hello});
        s.feed(server_hello);
        CHECK(s.sent() == lines{auth, syn, "00 00 00 01 04 00 02 68 69"});
    }
    SECTION("and takes PING and unknown frames from 0x80 on before AUTH is decided") {
        s.sent();
        s.feed("00 00 00 00 40 00 02 80 01 " + server_hello + " " + ping +
               " 00 00 00 05 40 00 01 ff " + auth_ok);
        CHECK(s.told() == lines{"established"});
    }
    SECTION("and cannot resume it if the server's time for it is 0") {
        auto settings = lone_session::settings_of(role::client);
        settings.resume = false;
        lone_session plain(settings);
        plain.link_up();
        CHECK(plain.sent() == lines{client_hello_with("02", "00 00 00 01")});
    }
}

TEST_CASE("a server begins a session") {
    lone_session s(role::server, any_cutting());
    s.link_up();
    SECTION("in silence, and answers HELLO with HELLO and AUTH with AUTH_OK") {
        CHECK(s.sent().empty());
        s.feed(client_hello);
        CHECK(s.sent() == lines{server_hello});
        s.feed(auth);
        CHECK(s.sent() == lines{auth_ok});
        CHECK(s.told() == lines{"established"});
        CHECK(s.core.user() == "laptop");
    }
    SECTION("and takes streams that came behind AUTH") {
        s.feed(client_hello);
        s.sent();
        s.feed(auth + " " + syn + " 00 00 00 01 04 00 02 68 69");
        CHECK(s.told() == lines{"established", "opened 1"});
        CHECK(s.opened(1).received == "hi");
    }
    SECTION("behind 16 frames of unknown types from 0x80 on") {
        s.feed(extensions(16, 0) + client_hello);
        CHECK(s.sent() == lines{server_hello});
    }
    SECTION("behind 4 KiB of them") {
        s.feed(extensions(1, 4096 - 8) + client_hello);
        CHECK(s.sent() == lines{server_hello});
    }
    SECTION("and answers PING before HELLO, behind a RESUME that has failed") {
        auto settings = lone_session::settings_of(role::server);
        settings.first_frame_seen = true;
        lone_session after(settings, any_cutting());
        after.link_up();
        after.feed(ping + " " + client_hello);
        CHECK(after.sent() == lines{server_hello, pong});
    }
    SECTION("and answers PING before AUTH") {
        s.feed(client_hello + " " + ping);
        CHECK(s.sent() == lines{server_hello, pong});
    }
    SECTION("with the features that both have") {
        s.feed(client_hello_with("02", "ff ff ff fd"));
        CHECK(s.sent() == lines{server_hello_with("02", "00 00 00 01")});
    }
    SECTION("in version 2 with a client that knows a later one") {
        s.feed(client_hello_with("09", "00 00 00 03"));
        CHECK(s.sent() == lines{server_hello});
    }
    SECTION("and skips unknown TLVs") {
        auto longer = client_hello;
        s.feed(longer.replace(18, 2, "23") + " 7f 00 02 aa bb");
        CHECK(s.sent() == lines{server_hello});
    }
}

TEST_CASE("a server refuses") {
    lone_session s(role::server, any_cutting());
    s.link_up();
    SECTION("HELLO") {
        const auto fails = [&](const std::string& hello, errc why) {
            s.feed(hello);
            CHECK(s.sent() == lines{close_text(why)});
            CHECK(s.told() == lines{closed_for(why)});
        };
        SECTION("of version 1") {
            fails(client_hello_with("01", "00 00 00 03"), errc::version_mismatch);
        }
        SECTION("without the channel binding that it wants") {
            fails(client_hello_with("02", "00 00 00 02"), errc::binding_mismatch);
        }
        SECTION("that is cut off") { fails("00 00 00 00 40 00 02 01 02", errc::bad_control_frame); }
        SECTION("with a TLV that is cut off") {
            auto longer = client_hello;
            fails(longer.replace(18, 2, "22") + " 7f 00 02 aa", errc::bad_control_frame);
        }
        SECTION("behind more than 16 frames of unknown types from 0x80 on, or 4 KiB of them") {
            const auto [count, size] = GENERATE(table<int, int>({{17, 0}, {1, 4089}, {4, 1017}}));
            fails(extensions(count, static_cast<std::size_t>(size)) + client_hello,
                  errc::control_out_of_order);
        }
        SECTION("that is longer than one can be, before it is complete") {
            fails("00 00 00 00 40 10 01", errc::bad_control_frame);
        }
        SECTION("on a stream") {
            auto elsewhere = client_hello;
            fails(elsewhere.replace(9, 2, "01"), errc::control_out_of_order);
        }
    }
    SECTION("PING and PONG before HELLO, behind a frame of an unknown type, too") {
        const auto early = GENERATE_COPY(as<std::string>(), ping, pong);
        s.feed("00 00 00 00 40 00 01 80 " + early);
        CHECK(s.sent() == lines{close_text(errc::control_out_of_order)});
    }
    SECTION("to begin with AUTH") {
        s.feed(auth);
        CHECK(s.sent() == lines{close_text(errc::control_out_of_order)});
    }
    SECTION("a second HELLO, a stream and an AUTH on a stream where AUTH is due") {
        s.feed(client_hello);
        s.sent();
        auto elsewhere = auth;
        elsewhere.replace(9, 2, "01");
        const std::string wrong[] = {client_hello, syn, elsewhere};
        s.feed(wrong[GENERATE(0U, 1U, 2U)]);
        CHECK(s.sent() == lines{close_text(errc::control_out_of_order)});
        CHECK(s.told() == lines{closed_for(errc::control_out_of_order)});
    }
    SECTION("a wrong mac, an unknown user and a missing token alike") {
        s.feed(client_hello);
        s.sent();
        auto nobody = auth;
        nobody.replace(30, 2, "6d");
        auto tokenless = auth;
        tokenless.replace(24, 2, "00");
        // What stands behind it is not looked at.
        const std::string wrong[] = {spoilt(auth), nobody, tokenless};
        s.feed(wrong[GENERATE(0U, 1U, 2U)] + " " + syn);
        CHECK(s.sent() == lines{auth_fail});
        CHECK(s.told() == lines{closed_for(errc::authentication_failed)});
        CHECK(s.core.closed());
    }
    SECTION("an AUTH that is cut off") {
        s.feed(client_hello);
        s.sent();
        s.feed("00 00 00 00 40 00 03 02 01 06");
        CHECK(s.sent() == lines{close_text(errc::bad_control_frame)});
    }
    SECTION("version 1 where it is not allowed") {
        s.feed(syn);
        CHECK(s.sent() == lines{close_text(errc::v1_refused)});
        CHECK(s.told() == lines{closed_for(errc::v1_refused)});
    }
}

TEST_CASE("a client refuses") {
    lone_session s(role::client, any_cutting());
    s.link_up();
    s.sent();
    const auto fails = [&](const std::string& received, errc why) {
        s.feed(received);
        CHECK(s.sent() == lines{close_text(why)});
        CHECK(s.told() == lines{closed_for(why)});
    };
    SECTION("a server that does not speak version 2") {
        fails(server_hello_with(GENERATE("01", "03"), "00 00 00 03"), errc::version_mismatch);
    }
    SECTION("a server that does not bind to the channel") {
        fails(server_hello_with("02", "00 00 00 02"), errc::binding_mismatch);
    }
    SECTION("AUTH_OK before HELLO") { fails(auth_ok, errc::control_out_of_order); }
    SECTION("PING and PONG before HELLO") {
        fails(GENERATE_COPY(as<std::string>(), ping, pong), errc::control_out_of_order);
    }
    SECTION("more than 16 frames of unknown types in front of HELLO") {
        fails(extensions(17, 0), errc::control_out_of_order);
    }
    SECTION("a version 1 server where that is not allowed") { fails(v1_rst, errc::v1_refused); }
    SECTION("behind HELLO") {
        s.feed(server_hello);
        s.sent();
        SECTION("a server that does not know the token") {
            fails(spoilt(auth_ok), errc::bad_server_proof);
        }
        SECTION("streams' frames before AUTH_OK") {
            fails("00 00 00 01 04 00 01 78", errc::control_out_of_order);
        }
        SECTION("a second HELLO") { fails(server_hello, errc::control_out_of_order); }
        SECTION("an AUTH_FAIL that is none") {
            fails(GENERATE(as<std::string>(), "00 00 00 00 40 00 02 04 02",
                           "00 00 00 00 40 00 02 04 00", "00 00 00 00 40 00 01 04",
                           "00 00 00 00 40 00 03 04 01 00"),
                  errc::bad_control_frame);
        }
        SECTION("version 1's answer, which comes first or never") {
            fails(v1_rst, errc::frame_on_stream_zero);
        }
    }
    SECTION("to go on after AUTH_FAIL") {
        s.feed(server_hello);
        s.sent();
        s.feed(auth_fail);
        CHECK(s.told() == lines{closed_for(errc::authentication_failed)});
        CHECK(s.core.closed());
    }
}

TEST_CASE("behind a RESUME that has failed") {
    auto settings = lone_session::settings_of(role::client);
    settings.allow_v1 = true;
    settings.first_frame_seen = true;
    lone_session s(settings, any_cutting());
    s.link_up();
    s.sent();
    SECTION("a client takes the PONG for its PING in front of the server's HELLO") {
        s.feed(pong + " " + server_hello + " " + auth_ok);
        CHECK(s.told() == lines{"established"});
    }
    SECTION("a client answers PING there, too") {
        s.feed(ping);
        CHECK(s.sent() == lines{pong});
    }
    SECTION("there is no version 1") {
        s.feed(v1_rst);
        CHECK(s.told() == lines{closed_for(errc::frame_on_stream_zero)});
    }
}

TEST_CASE("version 1's answer to HELLO is one only as the very first frame") {
    auto settings = lone_session::settings_of(role::client);
    settings.allow_v1 = true;
    lone_session s(settings, any_cutting());
    s.link_up();
    s.sent();
    SECTION("then the session goes on in version 1") {
        s.feed(v1_rst);
        CHECK(s.told() == lines{"established"});
        CHECK(s.core.version() == 1);
    }
    SECTION("behind anything else it is a fault") {
        s.feed("00 00 00 00 40 00 01 80 " + v1_rst);
        CHECK(s.told() == lines{closed_for(errc::frame_on_stream_zero)});
    }
}

TEST_CASE("a peer that says CLOSE instead") {
    const auto side = GENERATE(role::client, role::server);
    lone_session s(side, any_cutting());
    s.link_up();
    s.sent();
    s.feed("00 00 00 00 40 00 06 31 01 6f 6f 70 73");
    SECTION("is told nothing more") {
        CHECK(s.sent().empty());
        CHECK(s.told() == lines{closed_for(errc::closed_by_peer)});
        CHECK(s.core.peer_text() == "oops");
    }
}

TEST_CASE("a handshake has its time") {
    const auto side = GENERATE(role::client, role::server);
    lone_session s(side);
    s.link_up();
    s.sent();
    const auto late = [&] {
        s.pass(4999ms);
        CHECK(s.told().empty());
        s.pass(1ms);
        CHECK(s.sent() == lines{close_text(errc::handshake_timeout)});
        CHECK(s.told() == lines{closed_for(errc::handshake_timeout)});
    };
    SECTION("of 5 seconds for HELLO") { late(); }
    SECTION("and 5 more for the rest") {
        s.pass(4s);
        s.feed(side == role::client ? server_hello : client_hello);
        s.sent();
        late();
    }
    SECTION("which begun frames do not lengthen") {
        s.pass(4s);
        s.feed("00 00 00");
        s.pass(1s);
        CHECK(s.told() == lines{closed_for(errc::handshake_timeout)});
    }
}
