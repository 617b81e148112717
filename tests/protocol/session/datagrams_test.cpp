// Datagrams of UDP associations: agreed on, pulled, never kept and never sent again.

#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

#include <algorithm>

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

session_settings with_datagrams(role side) {
    auto made = lone::settings_of(side);
    made.datagrams = true;
    return made;
}

hello_frame willing() {
    hello_frame hello;
    hello.features = feature::datagrams;
    return hello;
}

octets datagram(std::uint32_t id, std::string_view bytes) {
    octets payload{static_cast<std::uint8_t>(control_type::datagram)};
    payload.insert(payload.end(), bytes.begin(), bytes.end());
    return control(payload, id);
}

constexpr unsigned syn_data = flag::syn | flag::data;
/// More than one of them fits into a datagram's quantum, and many of them do not.
const std::string large(4'000, 'x');

} // namespace

TEST_CASE("datagrams are agreed on") {
    const auto side = GENERATE(role::client, role::server);
    SECTION("where both sides say so") {
        lone s(with_datagrams(side));
        s.establish(willing());
        CHECK(s.core.datagrams_lane().agreed());
    }
    SECTION("not with a peer that does not know them") {
        lone s(with_datagrams(side));
        s.establish();
        CHECK_FALSE(s.core.datagrams_lane().agreed());
    }
    SECTION("not where they are switched off") {
        lone s(side);
        s.establish(willing());
        CHECK_FALSE(s.core.datagrams_lane().agreed());
    }
}

TEST_CASE("a datagram that comes") {
    const auto side = GENERATE(role::client, role::server);
    lone s(with_datagrams(side));
    s.establish(willing());
    if (side == role::client)
        s.open("request");
    else
        s.feed(0, data(1, 0, "request", syn_data));
    s.pass(1s);
    s.sent();
    s.told();
    SECTION("is told to the stream's owner, in its order") {
        s.feed(0, datagram(1, "one") + datagram(1, "two"));
        CHECK(s.told() == lines{"datagram 1 one", "datagram 1 two"});
    }
    SECTION("is neither counted nor acknowledged") {
        s.feed(0, datagram(1, "one"));
        s.pass(1s);
        CHECK(s.sent().empty());
    }
    SECTION("is ignored on a stream that is unknown, and without an address") {
        s.feed(0, datagram(99, "one") + datagram(0, "two") + datagram(1, ""));
        CHECK(s.told().empty());
        CHECK(s.core.statistics().datagrams_ignored == 3);
        CHECK_FALSE(s.core.closed());
    }
    SECTION("is ignored on a stream that is closed") {
        s.feed(0, rst(1));
        s.told();
        s.feed(0, datagram(1, "one"));
        CHECK(s.told().empty());
    }
}

TEST_CASE("a first datagram may follow its stream's request in the same read") {
    lone s(with_datagrams(role::server));
    s.establish(willing());
    s.feed(0, data(1, 0, "request", syn_data) + datagram(1, "one"));
    CHECK(s.told() == lines{"opened 1", "datagram 1 one"});
}

TEST_CASE("datagrams faster than the flood's limit are dropped, and end nothing") {
    auto settings = with_datagrams(role::server);
    settings.flood.datagrams_burst = 2;
    settings.flood.datagrams_per_second = 1;
    lone s(settings);
    s.establish(willing());
    s.feed(0, data(1, 0, "request", syn_data));
    s.told();
    s.feed(0, datagram(1, "1") + datagram(1, "2") + datagram(1, "3"));
    CHECK(s.told() == lines{"datagram 1 1", "datagram 1 2"});
    s.pass(1s);
    s.feed(0, datagram(1, "4"));
    CHECK(s.told() == lines{"datagram 1 4"});
}

TEST_CASE("without the feature a datagram is a control frame of an unknown type") {
    lone s(role::server);
    s.establish(willing());
    s.feed(0, data(1, 0, "request", syn_data) + datagram(1, "one"));
    CHECK(s.told() == lines{"opened 1"});
}

TEST_CASE("a datagram that goes out") {
    lone s(with_datagrams(role::client));
    s.establish(willing());
    auto& o = s.open("request");
    SECTION("follows its stream's request at once") {
        s.send_datagram(o, "early");
        CHECK(s.sent() == lines{"DATA 1 @0 SYN request", "DATAGRAM 1 early"});
    }
    SECTION("is not kept, and not sent again") {
        s.sent();
        s.feed(0, ack(1));
        s.send_datagram(o, "one");
        CHECK(s.sent() == lines{"DATAGRAM 1 one"});
        CHECK(s.core.kept_held() == 0);
        CHECK(s.core.may_end() == false); // Its stream is open.
        const auto second = s.join();
        s.core.on_link_lost(0, errc::link_lost, s.now);
        CHECK(s.sent(second) == lines{"DROP 0 frames 0"});
    }
    SECTION("may have any size up to what a frame carries") {
        s.sent();
        for (const std::size_t size : {1U, 1'472U, 16'384U, 65'534U})
            s.send_datagram(o, std::string(size, 'x'));
        const auto sent = s.sent();
        REQUIRE(sent.size() == 4);
        CHECK(sent[3].size() == std::string("DATAGRAM 1 ").size() + 65'534);
    }
    SECTION("waits with its owner while there is no link") {
        s.sent();
        s.feed(0, ack(1));
        s.core.on_link_lost(0, errc::link_lost, s.now);
        s.send_datagram(o, "one");
        CHECK(o.datagrams.size() == 1);
        const auto second = s.join();
        // The owner judges by its age whether it is still worth something.
        CHECK(s.sent(second) == lines{"DATAGRAM 1 one"});
    }
    SECTION("is not asked for once its stream has ended") {
        s.sent();
        s.send_datagram(o, "one");
        s.core.release(*std::exchange(o.s, nullptr));
        CHECK(s.sent() == lines{"RST 1 code 2"});
    }
}

TEST_CASE("datagrams go in front of bulk, but take no more than bulk streams beside them") {
    lone s(with_datagrams(role::client));
    s.establish(willing());
    auto& association = s.open("udp");
    auto& stream = s.open("tcp");
    s.sent();
    s.send(stream, std::string(200'000, 'b'));
    for (int i = 0; i < 40; ++i)
        s.send_datagram(association, large);
    const auto sent = s.sent();
    std::size_t datagrams_at_half = 0;
    std::size_t bulk = 0;
    REQUIRE(sent.front().substr(0, 8) == "DATAGRAM");
    for (const auto& each : sent) {
        if (each.substr(0, 4) == "DATA" && each[4] == ' ') bulk += each.size();
        if (each.substr(0, 8) == "DATAGRAM" && bulk < 100'000) ++datagrams_at_half;
    }
    CHECK(bulk >= 200'000);
    CHECK(datagrams_at_half >= 10); // 40 KB
    CHECK(datagrams_at_half <= 39);
    CHECK(association.datagrams.empty());
}

TEST_CASE("an association that sends much at once leaves the link of small messages") {
    lone s(with_datagrams(role::server));
    s.establish(willing());
    const auto second = s.join();
    s.core.set_roles({0, link_roles::none, {second, link_roles::none, link_roles::none}});
    s.feed(0, data(1, 0, "flow", syn_data) + data(3, 0, "voice", syn_data));
    auto& flow = s.opened(1);
    auto& voice = s.opened(3);
    s.sent();
    const auto count = [](const lines& all) {
        return std::count_if(all.begin(), all.end(),
                             [](const auto& one) { return one.starts_with("DATAGRAM 1 "); });
    };
    constexpr int at_once = 100;
    for (int i = 0; i < at_once; ++i)
        s.send_datagram(flow, large);
    const auto by_small = count(s.sent(0));
    const auto by_bulk = count(s.sent(second));
    CHECK(by_small + by_bulk == at_once);
    CHECK(by_small <= 17); // 64 KiB

    SECTION("and others stay there") {
        s.send_datagram(voice, "hello");
        s.send_datagram(flow, "more");
        CHECK(s.sent(0) == lines{"DATAGRAM 3 hello"});
        CHECK(s.sent(second) == lines{"DATAGRAM 1 more"});
    }
    SECTION("until it has been quiet for two seconds") {
        const auto look = [&] {
            s.pass(250ms);
            return s.core.look_at_streams(bulk_meter::usual_bytes, s.now);
        };
        for (int i = 0; i < 7; ++i)
            CHECK(look().bulk_out == 1);
        for (int i = 0; i < 2; ++i)
            look();
        s.sent(0);
        s.sent(second);
        s.send_datagram(flow, "little");
        CHECK(s.sent(0) == lines{"DATAGRAM 1 little"});
    }
}

TEST_CASE("datagrams do not wait for room to keep frames") {
    auto settings = with_datagrams(role::client);
    settings.kept.initial = settings.kept.max = 256 * 1024;
    settings.initial_window = 16 * 1024 * 1024;
    lone s(settings);
    auto theirs = willing();
    theirs.initial_window = 16 * 1024 * 1024;
    s.establish(theirs);
    auto& association = s.open("udp");
    auto& stream = s.open("tcp");
    s.send(stream, std::string(1024 * 1024, 'b'));
    s.sent();
    REQUIRE(s.core.waits_for_acks(0));
    s.send_datagram(association, "one");
    CHECK(s.sent() == lines{"DATAGRAM 1 one"});
}

} // namespace muxsocks::tests
