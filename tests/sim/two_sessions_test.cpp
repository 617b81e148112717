#include "tests/sim/two_sessions.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace muxsocks::sim;
using namespace std::chrono_literals;

TEST_CASE("two sessions back to back") {
    two_sessions both;
    both.establish({.delay = 20ms}, {.delay = 20ms});

    SECTION("carry a request, its reply and both ends") {
        auto& asked = both.client_user.open("request");
        REQUIRE(both.run_until([&] { return both.server_user.streams.size() == 1; }));
        auto& answered = both.server_user.streams[0];
        REQUIRE(both.run_until([&] { return answered.received == "request"; }));
        both.server_user.send(answered, "reply", true);
        REQUIRE(both.run_until([&] { return asked.ended; }));
        CHECK(asked.received == "reply");
        both.client_user.send(asked, " and more", true);
        REQUIRE(both.run_until([&] { return answered.ended; }));
        CHECK(answered.received == "request and more");
        both.client_user.release(asked);
        both.server_user.release(answered);
        CHECK(both.client.core.stream_count() == 0);
        CHECK(both.server.core.stream_count() == 0);
    }
    SECTION("go on where they were after the link was cut") {
        auto& asked = both.client_user.open("request");
        const std::string bytes(1'000'000, 'x');
        both.client_user.send(asked, bytes, true);
        both.run_for(30ms);
        both.cut();
        CHECK(both.client_user.saw(event::kind::detached));
        REQUIRE(both.resume());
        REQUIRE(both.run_until([&] {
            return !both.server_user.streams.empty() && both.server_user.streams[0].ended;
        }));
        CHECK(both.server_user.streams[0].received == "request" + bytes);
        both.run_for(1s);
        CHECK(both.client.core.replay_held() == 0);
    }
}
