// What frames that describe themselves do to a session, whatever order they come in.

#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

std::string closed(errc why) { return "closed: " + make_error_code(why).message(); }
std::string reset(std::uint32_t id, errc why) {
    return "reset " + std::to_string(id) + ": " + make_error_code(why).message();
}
constexpr unsigned syn_data = flag::syn | flag::data;
constexpr unsigned data_fin = flag::data | flag::fin;

} // namespace

TEST_CASE("DATA in order, doubled, overlapping and beyond a gap gives each byte once") {
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "hello", syn_data));
    CHECK(server.told() == lines{"opened 1"});
    auto& o = server.opened(1);
    SECTION("doubled") {
        server.feed(0, data(1, 0, "hello", syn_data) + data(1, 5, " you"));
        CHECK(o.received == "hello you");
    }
    SECTION("overlapping in front") {
        server.feed(0, data(1, 3, "lo you"));
        CHECK(o.received == "hello you");
    }
    SECTION("beyond a gap, which closes") {
        server.feed(0, data(1, 9, "there") + data(1, 7, "ou"));
        CHECK(o.received == "hello");
        server.feed(0, data(1, 5, " y"));
        CHECK(o.received == "hello youthere");
    }
    SECTION("FIN beyond a gap ends the stream when that is closed") {
        server.feed(0, data(1, 9, "!", data_fin));
        CHECK(server.told().empty());
        server.feed(0, data(1, 5, " you"));
        CHECK(o.received == "hello you!");
        CHECK(server.told() == lines{"end 1"});
    }
    SECTION("FIN alone") {
        server.feed(0, data(1, 6, "", flag::fin));
        server.feed(0, data(1, 5, "."));
        CHECK(o.received == "hello.");
        CHECK(server.told() == lines{"end 1"});
    }
}

TEST_CASE("two final sizes, and bytes behind the final one, reset the stream") {
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "hello", syn_data));
    server.told();
    SECTION("two sizes") { server.feed(0, data(1, 7, "", flag::fin) + data(1, 8, "", flag::fin)); }
    SECTION("bytes behind") { server.feed(0, data(1, 7, "", flag::fin) + data(1, 6, "xy")); }
    SECTION("a size below what came") { server.feed(0, data(1, 4, "", flag::fin)); }
    CHECK(server.told() == lines{reset(1, errc::stream_internal)});
    CHECK(server.sent().back() == "RST 1 code 4");
}

TEST_CASE("bytes beyond the credit reset the stream, wherever they begin") {
    auto settings = lone::settings_of(role::server);
    settings.initial_window = 8;
    lone server(settings);
    server.establish();
    server.feed(0, data(1, 0, "a", syn_data));
    server.told();
    server.feed(0, data(1, 6, "bc"));
    CHECK(server.told().empty());
    SECTION("bytes") { server.feed(0, data(1, 7, "cd")); }
    SECTION("an end") { server.feed(0, data(1, 9, "", flag::fin)); }
    CHECK(server.told() == lines{reset(1, errc::stream_flow_control)});
}

TEST_CASE("offsets above 2^62 end the session") {
    lone server(role::server);
    server.establish();
    SECTION("the offset") { server.feed(0, data(1, (1ULL << 62) + 1, "")); }
    SECTION("the end") { server.feed(0, data(1, 1ULL << 62, "a")); }
    SECTION("on an unused id of its own") { server.feed(0, data(3, ~0ULL, "abc")); }
    CHECK(server.told() == lines{closed(errc::bad_offset)});
}

TEST_CASE("any frame opens a stream, and those below it are missing") {
    lone server(role::server);
    server.establish();
    SECTION("DATA in the middle") {
        server.feed(0, data(5, 3, "lo"));
        CHECK(server.told() == lines{"opened 5"});
        CHECK_FALSE(server.core.may_end());
        server.feed(0, data(1, 0, "a", syn_data) + data(3, 0, "b", syn_data));
        CHECK(server.told() == lines{"opened 1", "opened 3"});
        server.feed(0, data(5, 0, "hel", syn_data));
        CHECK(server.opened(5).received == "hello");
    }
    SECTION("CREDIT") {
        server.feed(0, credit(3, 1'000'000));
        CHECK(server.told() == lines{"opened 3"});
    }
    SECTION("RST uses the id up") {
        server.feed(0, rst(3));
        CHECK(server.told().empty());
        server.feed(0, data(3, 0, "late", syn_data));
        CHECK(server.told().empty());
        server.feed(0, rst(1));
        CHECK(server.core.may_end());
    }
    SECTION("an extension does not") {
        server.feed(0, control(octets{0x90}, 3));
        CHECK(server.told().empty());
        server.feed(0, data(1, 0, "a", syn_data));
        CHECK(server.told() == lines{"opened 1"});
    }
}

TEST_CASE("frames on ids that nobody has used, or that are not the peer's, end the session") {
    SECTION("a client's even id") {
        lone server(role::server);
        server.establish();
        server.feed(0, data(2, 0, "a"));
        CHECK(server.told() == lines{closed(errc::frame_before_syn)});
    }
    SECTION("a server's new id") {
        lone client(role::client);
        client.establish();
        client.feed(0, data(2, 0, "a"));
        CHECK(client.told() == lines{closed(errc::frame_before_syn)});
    }
    SECTION("the client's own that it has not used") {
        lone client(role::client);
        client.establish();
        client.feed(0, credit(1, 500));
        CHECK(client.told() == lines{closed(errc::frame_before_syn)});
    }
}

TEST_CASE("SYN stands only on the opener's first frame") {
    SECTION("with another offset") {
        lone server(role::server);
        server.establish();
        server.feed(0, data(1, 1, "a", syn_data));
        CHECK(server.told() == lines{closed(errc::bad_syn)});
    }
    SECTION("from the server") {
        lone client(role::client);
        client.establish();
        client.open("request");
        client.sent();
        client.feed(0, data(1, 0, "a", syn_data));
        CHECK(client.told().back() == closed(errc::bad_syn));
    }
}

TEST_CASE("more open and missing ids than max_streams end the session before anything is built") {
    auto settings = lone::settings_of(role::server);
    settings.max_streams = 4;
    lone server(settings);
    server.establish();
    server.feed(0, data(7, 0, "a", syn_data));
    CHECK(server.told() == lines{"opened 7"});
    SECTION("the missing ones are no more") {
        server.feed(0, data(1, 0, "a", syn_data) + data(3, 0, "a", syn_data));
        CHECK(server.told().size() == 2);
    }
    SECTION("one above") {
        server.feed(0, data(9, 0, "a", syn_data));
        CHECK(server.told().back() == closed(errc::too_many_ids));
    }
    SECTION("far above") {
        server.feed(0, data(0xffff'ffff, 0, "a", syn_data));
        CHECK(server.told().back() == closed(errc::too_many_ids));
    }
}

TEST_CASE("a frame on a closed stream is ignored, and counted") {
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "a", syn_data) + rst(1));
    server.told();
    server.feed(0, data(1, 0, "a", syn_data) + data(1, 1, "b") + rst(1) + credit(1, 9));
    CHECK(server.told().empty());
    server.pass(20ms);
    CHECK(server.sent() == lines{"ACK 5"});
}

TEST_CASE("a client's first frame is its request, and its offsets go on") {
    lone client(role::client);
    client.establish();
    auto& o = client.open("request");
    CHECK(client.woken > 0);
    client.send(o, "more", false);
    CHECK(client.sent() == lines{"DATA 1 @0 SYN request", "DATA 1 @7 more"});
    client.send(o, " and", true);
    CHECK(client.sent() == lines{"DATA 1 @11 FIN  and"});
}

TEST_CASE("a client keeps to max_streams until all of a stream is acknowledged") {
    lone client(role::client);
    hello_frame theirs;
    theirs.max_streams = 1;
    client.establish(theirs);
    client.open("one");
    client.open("two");
    CHECK(client.sent() == lines{"DATA 1 @0 SYN one"});
    client.feed(0, rst(1, reset_code::refused));
    CHECK(client.sent().empty());
    client.feed(0, ack(1));
    CHECK(client.sent() == lines{"ACK 1", "DATA 3 @0 SYN two"});
}

TEST_CASE("RST goes when the last words in front of it have arrived") {
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "request", syn_data));
    auto& o = server.opened(1);
    server.core.write(*o.s, octets{'n', 'o'});
    server.core.reset(*o.s, reset_code::denied);
    CHECK(server.sent() == lines{"ACK 1", "DATA 1 @0 no"});
    server.feed(0, ack(1));
    CHECK(server.sent() == lines{"RST 1 code 6"});
}

TEST_CASE("a refusal waits for its end from when it was heard, as long as there is a link") {
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "request", syn_data));
    server.core.refuse(*std::exchange(server.opened(1).s, nullptr), octets{'n', 'o'});
    CHECK(server.sent() == lines{"ACK 1", "DATA 1 @0 FIN no"});
    server.pass(14s);
    CHECK(server.sent() == lines{"PING"}); // No ACK has come.
    server.feed(0, ack(1));
    server.pass(9s);
    server.core.on_link_lost(0, errc::link_lost, server.now);
    server.pass(1h);
    const auto second = server.join();
    server.pass(900ms);
    server.feed(second, ack(1));
    CHECK(server.sent(second).empty());
    server.pass(200ms);
    CHECK(server.sent(second) == lines{"RST 1 code 2"});
}

TEST_CASE("the stream that began a round of bulk may go before the round is over") {
    lone client(role::client);
    client.establish();
    auto& first = client.open("a");
    auto& second = client.open("b");
    client.send(first, std::string(20'000, 'x'));
    client.send(second, std::string(60'000, 'y'));
    std::size_t sent = 0;
    while (!first.to_send.empty())
        sent += client.turn(0, 16'384).size();
    CHECK_FALSE(second.to_send.empty());
    client.feed(0, rst(first.s->id));
    CHECK(first.s == nullptr);
    sent += client.output().size();
    CHECK(second.to_send.empty());
    CHECK(sent > 80'000);
}

TEST_CASE("GOAWAY ends streams that the server will not take") {
    lone client(role::client);
    client.establish();
    client.open("one");
    client.open("two");
    client.sent();
    goaway_frame frame;
    frame.last_stream = 1;
    client.feed(0, control(encode(frame)));
    CHECK(client.told() == lines{"goaway", reset(3, errc::going_away)});
}

TEST_CASE("GOAWAY of a server that takes streams of who has no other one") {
    lone client(role::client);
    client.establish();
    client.open("one");
    client.sent();
    goaway_frame frame;
    frame.last_stream = goaway_frame::any_stream;
    client.feed(0, control(encode(frame)));
    CHECK(client.told() == lines{"goaway"});
    CHECK_FALSE(client.core.accepts_opens());
    CHECK(client.core.accepts_late_opens());
    client.open("two");
    CHECK(client.sent() == lines{"ACK 1", "DATA 3 @0 SYN two"});

    lone server(role::server);
    server.establish();
    server.core.go_away(close_code::shutting_down, std::chrono::seconds(1), "stopping", true);
    CHECK(server.sent() == lines{"GOAWAY 4294967295"});
    server.feed(0, data(1, 0, "request", syn_data));
    CHECK(server.told() == lines{"opened 1"});
}

TEST_CASE("a notice comes in front of the refusing reply") {
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "request", syn_data));
    auto& o = server.opened(1);
    server.core.notify(o.s, {7, 60, "quota"});
    server.core.refuse(*std::exchange(o.s, nullptr), octets{'n', 'o'});
    CHECK(server.sent() == lines{"NOTICE 1 quota", "ACK 1", "DATA 1 @0 FIN no"});
    lone client(role::client);
    client.establish();
    client.open("request");
    client.sent();
    client.feed(0, control(encode(notice_frame{7, 60, "quota"}), 1));
    CHECK(client.told() == lines{"notice 1 quota"});
    client.feed(0, control(encode(notice_frame{7, 60, "for all"})));
    CHECK(client.told() == lines{"notice  for all"});
}

TEST_CASE("notices that fill a turn leave no frame behind its end") {
    constexpr std::size_t turn_size = 16'384;
    const auto size_of = [](std::size_t text) {
        return frame_header_size + encode(notice_frame{1, 0, std::string(text, 'x')}).size();
    };
    const auto left = GENERATE(range(std::size_t{0}, std::size_t{20}));
    lone server(role::server);
    server.establish();
    server.feed(0, data(1, 0, "request"));
    std::size_t waiting = 0;
    while (turn_size - left - waiting > 2 * size_of(notice_frame::text_max)) {
        server.core.notify(nullptr, {1, 0, std::string(notice_frame::text_max, 'x')});
        waiting += size_of(notice_frame::text_max);
    }
    // Two more fill it up, and an ACK, a PING and a PONG are due behind them.
    const auto rest = turn_size - left - waiting - 2 * size_of(0);
    server.core.notify(nullptr, {1, 0, std::string(rest / 2, 'x')});
    server.core.notify(nullptr, {1, 0, std::string(rest - rest / 2, 'x')});
    server.feed(0, frame(0, flag::ping, octets(8)));
    server.core.probe();
    server.pass(20ms);
    CHECK(server.turn(0, turn_size).size() <= turn_size);
    const auto behind = server.sent();
    const auto laid = [&](std::string_view what) {
        return std::count(behind.begin(), behind.end(), what);
    };
    CHECK(laid("PONG") == 1);
    CHECK(laid("NOTICE 0 x") == 0);
    CHECK(laid("PING") + laid("ACK 1") >= (left < 15 ? 2 : left < 16 ? 1 : 0));
}

TEST_CASE("notices are left out where nobody takes them") {
    lone server(role::server);
    server.establish();
    for (int i = 0; i < 10'000; ++i)
        server.core.notify(nullptr, {1, 0, std::string(notice_frame::text_max, 'x')});
    const auto bytes = server.output().size();
    CHECK(bytes > 16'384);
    CHECK(bytes < 17'000);
}

TEST_CASE("extension frames are ignored, but not for ever") {
    lone server(role::server);
    server.establish();
    octets many;
    for (int i = 0; i < 1'000; ++i)
        many = std::move(many) + control(octets{0xff}, i % 2 == 0 ? 0 : 9);
    server.feed(0, many);
    CHECK(server.told().empty());
    server.feed(0, control(octets{0xff}));
    CHECK(server.told() == lines{closed(errc::flood_of_extensions)});
}

TEST_CASE("a fault ends the session with a code for programs") {
    lone server(role::server);
    server.establish();
    server.feed(0, number_frame(control_type::ack, 1));
    CHECK(server.told() == lines{closed(errc::ack_beyond_sent)});
    const auto out = server.output();
    const auto said = decode_close(bytes_view(out).subspan(frame_header_size));
    REQUIRE(said);
    CHECK(said->code == 1);
    CHECK(said->detail == static_cast<std::uint16_t>(errc::ack_beyond_sent));
}

TEST_CASE("version 1 is spoken as ever") {
    auto settings = lone::settings_of(role::server);
    settings.allow_v1 = true;
    lone server(settings);
    server.core.on_link({}, server.now);
    server.feed(0, frame(1, flag::syn, {}) + frame(1, flag::data, octets{'h', 'i'}));
    CHECK(server.told() == lines{"established", "opened 1"});
    CHECK(server.opened(1).received == "hi");
    server.send(server.opened(1), "you", true);
    const auto out = server.output();
    CHECK(out == frame(1, flag::data | flag::fin, octets{'y', 'o', 'u'}));
    server.feed(0, frame(9, flag::data, octets{'x'}));
    CHECK(server.output() == frame(9, flag::rst, {}));
}

TEST_CASE("no more frames of streams are taken at a time than the driver allows") {
    lone server(role::server);
    server.establish();
    const auto take = [&](const octets& batch, std::size_t frames_max) {
        const auto used = server.core.on_bytes(0, batch, server.now, frames_max);
        server.settle();
        return used;
    };
    const auto byte = [](std::uint64_t offset) { return data(1, offset, "x"); };
    take(data(1, 0, "a", syn_data), 1);
    auto& o = server.opened(1);
    const auto size = byte(0).size();
    SECTION("the rest waits whole, until the bytes come again") {
        const auto batch = byte(1) + byte(2) + byte(3);
        CHECK(take(batch, 2) == 2 * size);
        CHECK(o.received == "axx");
        CHECK(server.core.frames_left(0));
        CHECK(take(byte(3), 2) == size);
        CHECK(o.received == "axxx");
        CHECK(!server.core.frames_left(0));
    }
    SECTION("a frame that has not come whole is not left, but incomplete") {
        auto batch = byte(1) + byte(2);
        batch.pop_back();
        CHECK(take(batch, 1) == size);
        CHECK(!server.core.frames_left(0));
    }
    SECTION("a stream that is opened counts as much as several frames of data") {
        take(data(3, 0, "b", syn_data) + byte(1), 2);
        CHECK(o.received == "a");
        CHECK(server.core.frames_left(0));
    }
    SECTION("what is not of a stream does not count") {
        take(ack(0) + ack(0) + ack(0) + byte(1), 1);
        CHECK(o.received == "ax");
        CHECK(!server.core.frames_left(0));
    }
    SECTION("a link that is lost has none left") {
        take(byte(1) + byte(2), 1);
        server.core.on_link_lost(0, errc::link_lost, server.now);
        CHECK(!server.core.frames_left(0));
    }
}

} // namespace muxsocks::tests
