/// \file
/// Floods (docs/PROTOCOL.md): what fits at once, what comes back with time, and how the session
/// ends, or does not, beyond it.

#include "tests/catch.hpp"
#include "tests/protocol/lone_session.hpp"
#include "tests/vectors/hex.hpp"

using namespace muxsocks;
using namespace muxsocks::tests;
using namespace std::chrono_literals;
using lines = lone_session::lines;

namespace {

std::string syn(std::uint32_t id) { return frame_text(id, 0x01); }
std::string rst(std::uint32_t id) { return frame_text(id, 0x20, "00 00 00 02"); }
std::string refusal(std::uint32_t id) { return frame_text(id, 0x20, "00 00 00 01"); }
const std::string empty_data = "00 00 00 01 04 00 00";

/// Whether the last thing told is the end of the session as a flood.
bool flooded(lone_session& s, errc why) {
    const auto frames = s.sent();
    const auto told = s.told();
    return !frames.empty() && frames.back() == close_text(why, close_code::flood) &&
           !told.empty() && told.back() == "closed: " + make_error_code(why).message();
}

/// Streams that are opened, taken up and reset by the peer, from `first` on.
void open_and_reset(lone_session& s, std::uint32_t first, int count) {
    for (auto id = first; count > 0; --count, id += 2) {
        s.feed(syn(id));
        s.core.accept(*s.opened(id).s);
        s.feed(rst(id));
    }
}

} // namespace

TEST_CASE("a client that resets its streams") {
    lone_session s(role::server);
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
        s.feed(syn(2001) + " " + frame_text(2001, 0x02));
        s.core.finish(*s.opened(2001).s);
        s.stream_frames();
        open_and_reset(s, 2003, 1);
        CHECK_FALSE(s.core.closed());
        open_and_reset(s, 2005, 1);
        CHECK(flooded(s, errc::flood_of_resets));
    }
    SECTION("is counted with what provokes a reset") {
        s.feed(syn(2001) + " " + frame_text(2001, 0x02) + " " + frame_text(2001, 0x02));
        CHECK(flooded(s, errc::flood_of_resets));
    }
    SECTION("is not counted for streams that were connected") {
        for (std::uint32_t id = 2001; id < 8000; id += 2) {
            s.feed(syn(id));
            s.core.accept(*s.opened(id).s);
            s.core.on_connected(*s.opened(id).s);
            s.feed(rst(id));
        }
        CHECK_FALSE(s.core.closed());
    }
    SECTION("is not counted for streams that are closed") {
        for (int i = 0; i < 100; ++i)
            s.feed(rst(1));
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("a client that resets its streams before their request was complete") {
    lone_session s(role::server);
    s.establish();
    for (std::uint32_t id = 1; id < 2000; id += 2)
        s.feed(syn(id) + " " + rst(id));
    s.stream_frames();
    s.told();
    SECTION("is refused new ones, and nothing worse") {
        s.feed(syn(2001));
        CHECK(s.stream_frames() == lines{refusal(2001)});
        CHECK(s.told().empty());
        CHECK_FALSE(s.core.closed());
    }
    SECTION("may open one again 5 ms later") {
        s.pass(5ms);
        s.feed(syn(2001));
        CHECK(s.told() == lines{"opened 2001"});
    }
}

TEST_CASE("a client that opens streams too fast is refused those that are too many") {
    auto settings = lone_session::settings_of(role::server);
    settings.flood.opens_burst = 3;
    settings.flood.opens_per_second = 10;
    lone_session s(settings);
    s.establish();
    s.feed(syn(1) + " " + syn(3) + " " + syn(5) + " " + syn(7));
    CHECK(s.told() == lines{"opened 1", "opened 3", "opened 5"});
    CHECK(s.stream_frames() == lines{refusal(7)});
    s.pass(100ms);
    s.feed(syn(9) + " " + syn(11));
    CHECK(s.told() == lines{"opened 9"});
    CHECK(s.stream_frames() == lines{refusal(11)});
}

TEST_CASE("a client that goes on opening while a thousand refusals wait") {
    auto settings = lone_session::settings_of(role::server);
    settings.max_streams = 0;
    lone_session s(settings);
    s.establish();
    std::uint32_t id = 1;
    for (; id < 2000; id += 2)
        s.feed(syn(id));
    CHECK_FALSE(s.core.closed());
    SECTION("loses its session") {
        s.feed(syn(id));
        CHECK(flooded(s, errc::flood_of_refusals));
    }
    SECTION("may do so when they have gone out") {
        CHECK(s.stream_frames().size() == 1000);
        s.feed(syn(id));
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("a client whose user may have fewer streams than it was told") {
    auto settings = lone_session::settings_of(role::server);
    settings.max_streams = 3000;
    const auto key = settings.find_user("laptop")->key;
    settings.find_user = [key](std::string_view) { return user_access{key, 2}; };
    lone_session s(settings);
    s.establish();
    std::string burst;
    for (std::uint32_t id = 1; id < 6000; id += 2)
        burst += syn(id) + " ";
    SECTION("is refused the others, however many come at once") {
        s.feed(burst);
        CHECK(s.told() == lines{"opened 1", "opened 3"});
        CHECK(s.stream_frames().size() == 2998);
        CHECK_FALSE(s.core.closed());
    }
    SECTION("loses its session for more than it was told while refusals wait") {
        s.feed(burst + syn(6001) + " " + syn(6003));
        CHECK_FALSE(s.core.closed());
        s.feed(syn(6005));
        CHECK(flooded(s, errc::flood_of_refusals));
    }
}

TEST_CASE("empty frames") {
    const auto side = GENERATE(role::client, role::server);
    lone_session s(side);
    s.establish();
    if (side == role::server)
        s.feed(syn(1));
    else
        s.open("");
    s.stream_frames();
    for (int i = 0; i < 1000; ++i)
        s.feed(empty_data);
    CHECK_FALSE(s.core.closed());
    SECTION("are a flood beyond a thousand") {
        s.feed(empty_data);
        CHECK(flooded(s, errc::flood_of_empty_frames));
    }
    SECTION("may come 100 times a second") {
        s.pass(100ms);
        for (int i = 0; i < 10; ++i)
            s.feed(empty_data);
        CHECK_FALSE(s.core.closed());
    }
    SECTION("are none of them with an end") {
        s.feed("00 00 00 01 06 00 00");
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("grants of less than 1 KiB") {
    CHECK(flood_limits{}.credits_burst == 10'000);
    const auto side = GENERATE(role::client, role::server);
    auto settings = lone_session::settings_of(side);
    settings.flood.credits_burst = 100;
    lone_session s(settings);
    s.establish();
    if (side == role::server)
        s.feed(syn(1));
    else
        s.open("");
    s.stream_frames();
    std::uint64_t limit = 256 * 1024;
    for (int i = 0; i < 100; ++i)
        s.feed(credit_text(1, ++limit));
    CHECK_FALSE(s.core.closed());
    SECTION("are a flood beyond so many") {
        s.feed(credit_text(1, ++limit));
        CHECK(flooded(s, errc::flood_of_credits));
    }
    SECTION("count also when they raise nothing") {
        s.feed(credit_text(1, limit));
        CHECK(flooded(s, errc::flood_of_credits));
    }
    SECTION("may come a thousand times a second") {
        s.pass(10ms);
        for (int i = 0; i < 10; ++i)
            s.feed(credit_text(1, ++limit));
        CHECK_FALSE(s.core.closed());
    }
    SECTION("are none of them that raise more") {
        for (int i = 0; i < 100; ++i)
            s.feed(credit_text(1, limit += 1024));
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("PING") {
    const auto side = GENERATE(role::client, role::server);
    lone_session s(side);
    s.establish();
    for (int i = 0; i < 200; ++i)
        s.feed(frame_text(0, 0x08, hex_u64(1)));
    CHECK_FALSE(s.core.closed());
    SECTION("is a flood beyond two hundred") {
        s.feed(frame_text(0, 0x08, hex_u64(1)));
        CHECK(flooded(s, errc::flood_of_pings));
    }
    SECTION("may come 20 times a second") {
        s.pass(1s);
        for (int i = 0; i < 20; ++i)
            s.feed(frame_text(0, 0x08, hex_u64(1)));
        CHECK_FALSE(s.core.closed());
    }
}

TEST_CASE("a client") {
    lone_session s(role::client);
    s.establish();
    SECTION("takes as many resets as a server sends") {
        for (std::uint32_t id = 1; id < 6000; id += 2) {
            s.open("");
            s.sent();
            s.feed(rst(id));
        }
        CHECK_FALSE(s.core.closed());
    }
    SECTION("paces its own resets below what a server allows") {
        auto settings = lone_session::settings_of(role::client);
        settings.flood.resets_burst = 2;
        settings.flood.resets_per_second = 30;
        lone_session t(settings);
        t.establish();
        for (int i = 0; i < 4; ++i)
            t.open("");
        t.stream_frames();
        t.core.for_each_stream([&](stream& each) { t.core.reset(each, reset_code::cancelled); });
        CHECK(t.stream_frames().size() == 2);
        t.pass(30ms);
        CHECK(t.stream_frames().empty());
        t.pass(5ms);
        CHECK(t.stream_frames().size() == 1);
        SECTION("but not those of streams that were connected, which go past the others") {
            auto& o = t.open("");
            t.stream_frames();
            t.core.on_connected(*o.s);
            t.core.reset(*o.s, reset_code::cancelled);
            CHECK(t.stream_frames() == lines{rst(9)});
        }
        t.pass(35ms);
        CHECK(t.stream_frames().size() == 1);
        CHECK(t.core.stream_count() == 0);
    }
}
