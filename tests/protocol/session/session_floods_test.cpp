// Floods (docs/PROTOCOL.md): what fits at once, what comes back with time, and how the session
// ends, or does not, beyond it.

#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

octets open_frame(std::uint32_t id) { return data(id, 0, "", flag::syn | flag::data); }
std::string refusal(std::uint32_t id) { return "RST " + std::to_string(id) + " code 1"; }
octets ping() { return frame(0, flag::ping, octets(8)); }

/// Whether the last thing told is the end of the session as a flood.
bool flooded(lone& s, errc why) {
    const auto text = make_error_code(why).message();
    const auto frames = s.sent();
    const auto told = s.told();
    return !frames.empty() && frames.back() == "CLOSE 2: " + text && !told.empty() &&
           told.back() == "closed: " + text;
}

/// Frames of streams: without ACK.
lines of_streams(lone& s) {
    auto frames = s.sent();
    std::erase_if(frames, [](const std::string& each) { return each.starts_with("ACK"); });
    return frames;
}

/// Streams that are opened, taken up and reset by the peer, from `first` on.
void open_and_reset(lone& s, std::uint32_t first, int count, bool connected = false) {
    for (auto id = first; count > 0; --count, id += 2) {
        s.feed(0, open_frame(id));
        s.core.accept(*s.opened(id).s);
        if (connected) s.core.on_connected(*s.opened(id).s);
        s.feed(0, rst(id));
    }
}

} // namespace

TEST_CASE("a client that resets its streams") {
    lone s(role::server);
    s.establish();
    open_and_reset(s, 1, 1000);
    CHECK_FALSE(s.core.closed());
    SECTION("a thousand times at once, is one too many then") {
        open_and_reset(s, 2001, 1);
        CHECK(flooded(s, errc::flood_of_resets));
    }
    SECTION("may do so 33 times a second after that") {
        s.pass(1s);
        open_and_reset(s, 2001, 33);
        CHECK_FALSE(s.core.closed());
        open_and_reset(s, 2067, 1);
        CHECK(flooded(s, errc::flood_of_resets));
    }
    SECTION("may do so once more for each stream that ended in the normal way") {
        s.feed(0, open_frame(2001) + data(2001, 0, "", flag::fin));
        s.core.finish(*s.opened(2001).s);
        s.sent();
        open_and_reset(s, 2003, 1);
        CHECK_FALSE(s.core.closed());
        open_and_reset(s, 2005, 1);
        CHECK(flooded(s, errc::flood_of_resets));
    }
    SECTION("is counted with what provokes a reset") {
        s.feed(0, open_frame(2001) + data(2001, 1, "", flag::fin) + data(2001, 2, "", flag::fin));
        CHECK(flooded(s, errc::flood_of_resets));
    }
    SECTION("is not counted for streams that were connected") {
        open_and_reset(s, 2001, 3000, true);
        CHECK_FALSE(s.core.closed());
    }
    SECTION("is not counted for streams that are closed") {
        for (int i = 0; i < 100; ++i)
            s.feed(0, rst(1));
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("a client that resets its streams before their request was complete") {
    lone s(role::server);
    s.establish();
    for (std::uint32_t id = 1; id < 2000; id += 2)
        s.feed(0, open_frame(id) + rst(id));
    s.sent();
    s.told();
    SECTION("is refused new ones, and nothing worse") {
        s.feed(0, open_frame(2001));
        CHECK(of_streams(s) == lines{refusal(2001)});
        CHECK(s.told().empty());
        CHECK_FALSE(s.core.closed());
    }
    SECTION("may open one again 5 ms later") {
        s.pass(5ms);
        s.feed(0, open_frame(2001));
        CHECK(s.told() == lines{"opened 2001"});
    }
}

TEST_CASE("a client that opens streams too fast is refused those that are too many") {
    auto settings = lone::settings_of(role::server);
    settings.flood.opens_burst = 3;
    settings.flood.opens_per_second = 10;
    lone s(settings);
    s.establish();
    s.feed(0, open_frame(1) + open_frame(3) + open_frame(5) + open_frame(7));
    CHECK(s.told() == lines{"opened 1", "opened 3", "opened 5"});
    CHECK(of_streams(s) == lines{refusal(7)});
    s.pass(100ms);
    s.feed(0, open_frame(9) + open_frame(11));
    CHECK(s.told() == lines{"opened 9"});
    CHECK(of_streams(s) == lines{refusal(11)});
}

TEST_CASE("a client whose user may have fewer streams than it was told") {
    auto settings = lone::settings_of(role::server);
    settings.max_streams = 3000;
    settings.find_user = [key = *settings.key](std::string_view) { return user_access{key, 2}; };
    lone s(settings);
    s.establish();
    octets burst;
    for (std::uint32_t id = 1; id < 6000; id += 2)
        burst = std::move(burst) + open_frame(id);
    SECTION("is refused the others, however many come at once") {
        s.feed(0, burst);
        CHECK(s.told() == lines{"opened 1", "opened 3"});
        CHECK(of_streams(s).size() == 2998);
        CHECK_FALSE(s.core.closed());
    }
    SECTION("loses its session for more than it was told while refusals wait") {
        s.feed(0, burst + open_frame(6001) + open_frame(6003));
        CHECK_FALSE(s.core.closed());
        s.feed(0, open_frame(6005));
        CHECK(flooded(s, errc::flood_of_refusals));
    }
}

TEST_CASE("empty frames") {
    const auto side = GENERATE(role::client, role::server);
    lone s(side);
    s.establish();
    s.feed(0, side == role::server ? open_frame(1) : octets());
    if (side == role::client) s.open("");
    s.sent();
    for (int i = 0; i < 1000; ++i)
        s.feed(0, data(1, 0, ""));
    CHECK_FALSE(s.core.closed());
    SECTION("are a flood beyond a thousand") {
        s.feed(0, data(1, 0, ""));
        CHECK(flooded(s, errc::flood_of_empty_frames));
    }
    SECTION("may come 100 times a second") {
        s.pass(100ms);
        for (int i = 0; i < 10; ++i)
            s.feed(0, data(1, 0, ""));
        CHECK_FALSE(s.core.closed());
    }
    SECTION("are none of them with an end") {
        s.feed(0, data(1, 0, "", flag::data | flag::fin));
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("grants of less than 1 KiB") {
    CHECK(flood_limits{}.credits_burst == 10'000);
    const auto side = GENERATE(role::client, role::server);
    auto settings = lone::settings_of(side);
    settings.flood.credits_burst = 100;
    settings.max_streams = 50;
    lone s(settings);
    hello_frame theirs;
    theirs.max_streams = side == role::client ? 50 : 0;
    s.establish(theirs);
    s.feed(0, side == role::server ? open_frame(1) : octets());
    if (side == role::client) s.open("");
    s.sent();
    std::uint64_t limit = 256 * 1024;
    for (int i = 0; i < 100; ++i)
        s.feed(0, credit(1, ++limit));
    CHECK_FALSE(s.core.closed());
    SECTION("are a flood beyond so many") {
        s.feed(0, credit(1, ++limit));
        CHECK(flooded(s, errc::flood_of_credits));
    }
    SECTION("count also when they raise nothing") {
        s.feed(0, credit(1, limit));
        CHECK(flooded(s, errc::flood_of_credits));
    }
    SECTION("may come a thousand times a second") {
        s.pass(10ms);
        for (int i = 0; i < 10; ++i)
            s.feed(0, credit(1, ++limit));
        CHECK_FALSE(s.core.closed());
    }
    SECTION("are none of them that raise more") {
        for (int i = 0; i < 100; ++i)
            s.feed(0, credit(1, limit += 1024));
        CHECK_FALSE(s.core.closed());
    }
    SECTION("may come once more for each open stream when a link is lost") {
        const auto second = s.join();
        s.core.on_link_lost(0, errc::link_lost, s.now);
        s.feed(second, credit(1, limit));
        CHECK_FALSE(s.core.closed());
        s.feed(second, credit(1, limit));
        CHECK(s.core.closed());
    }
}

TEST_CASE("PING") {
    const auto side = GENERATE(role::client, role::server);
    lone s(side);
    s.establish();
    for (int i = 0; i < 200; ++i)
        s.feed(0, ping());
    CHECK_FALSE(s.core.closed());
    SECTION("is a flood beyond two hundred") {
        s.feed(0, ping());
        CHECK(flooded(s, errc::flood_of_pings));
    }
    SECTION("may come 20 times a second") {
        s.pass(1s);
        for (int i = 0; i < 20; ++i)
            s.feed(0, ping());
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("a client takes as many resets as a server sends") {
    lone s(role::client);
    s.establish();
    for (std::uint32_t id = 1; id < 6000; id += 2) {
        s.open("");
        s.sent();
        s.feed(0, rst(id));
    }
    CHECK_FALSE(s.core.closed());
}

TEST_CASE("a client paces its own resets below what a server allows") {
    auto settings = lone::settings_of(role::client);
    settings.flood.resets_burst = 2;
    settings.flood.resets_per_second = 30;
    lone s(settings);
    s.establish();
    std::vector<lone::owner*> opened;
    for (int i = 0; i < 4; ++i)
        opened.push_back(&s.open(""));
    s.sent();
    for (const auto each : opened)
        s.core.reset(*each->s, reset_code::cancelled);
    CHECK(s.sent().size() == 2);
    s.pass(30ms);
    CHECK(s.sent().empty());
    s.pass(5ms);
    CHECK(s.sent().size() == 1);
    SECTION("but not those of streams that were connected, which go past the others") {
        auto& o = s.open("");
        s.sent();
        s.core.on_connected(*o.s);
        s.core.reset(*o.s, reset_code::cancelled);
        CHECK(s.sent() == lines{"RST 9 code 2"});
    }
    s.pass(35ms);
    CHECK(s.sent().size() == 1);
    CHECK(s.core.stream_count() == 0);
}

} // namespace muxsocks::tests
