#include "tests/catch.hpp"
#include "tests/sim/two_sessions.hpp"

using namespace muxsocks;
using namespace muxsocks::sim;
using namespace std::chrono_literals;

namespace {

constexpr std::array<std::uint8_t, 32> other_exporter{9, 9, 9};

resume_frame decoded(const std::vector<std::uint8_t>& asked) {
    return *decode_resume(bytes_view(asked).subspan(frame_header_size));
}

} // namespace

TEST_CASE("a server that has answered RESUME") {
    two_sessions both;
    both.establish({.delay = 5ms}, {.delay = 5ms});
    auto& asked = both.client_user.open("request");
    REQUIRE(both.run_until([&] { return both.server_user.streams.size() == 1; }));

    SECTION("waits 5 seconds for START, and then for another link") {
        both.cut();
        // RESUME_OK is on its way; nothing of the client's arrives.
        REQUIRE(both.resume({.stall_after = 0}));
        both.run_for(4'900ms);
        CHECK(both.server.core.attached());
        CHECK(both.server.core.awaits_start());
        both.run_for(200ms);
        CHECK_FALSE(both.server.core.attached());
        CHECK_FALSE(both.server.core.closed());
        both.cut();
        REQUIRE(both.resume());
        both.client_user.send(asked, " goes on", true);
        REQUIRE(both.run_until([&] { return both.server_user.streams[0].ended; }));
        CHECK(both.server_user.streams[0].received == "request goes on");
    }
    SECTION("does not mind the time once START has come") {
        both.cut();
        REQUIRE(both.resume());
        both.run_for(10s);
        CHECK(both.server.core.attached());
    }
}

TEST_CASE("a RESUME of somebody else") {
    const std::array<std::uint8_t, 32> exporter{4, 5, 6};
    two_sessions both;
    both.establish();
    const auto first = decoded(both.client.core.make_resume(exporter, both.now));
    const auto refused = [&](const resume_frame& frame, bytes_view on) {
        const auto answer = both.server.core.on_resume(frame, on, both.now);
        return answer && answer->code == resume_failure::unknown_session && answer->retry_ms == 0;
    };

    SECTION("is refused with a wrong proof") {
        auto wrong = first;
        wrong.proof[31] ^= 1;
        CHECK(refused(wrong, exporter));
    }
    SECTION("is refused on another channel") { CHECK(refused(first, other_exporter)); }
    SECTION("is refused with another epoch, position, or nonce under the same proof") {
        auto changed = first;
        ++changed.epoch;
        CHECK(refused(changed, exporter));
        changed = first;
        ++changed.recv_frames;
        CHECK(refused(changed, exporter));
        changed = first;
        ++changed.nonce[0];
        CHECK(refused(changed, exporter));
    }
    SECTION("is refused alike when it is a recording, or older than one that was served") {
        const auto second = decoded(both.client.core.make_resume(exporter, both.now));
        REQUIRE_FALSE(both.server.core.on_resume(second, exporter, both.now));
        CHECK(refused(second, exporter));
        CHECK(refused(first, exporter));
    }
    SECTION("does not disturb the link that stands") {
        auto wrong = first;
        wrong.proof[0] ^= 1;
        CHECK(refused(wrong, exporter));
        CHECK(both.server.core.attached());
        auto& asked = both.client_user.open("request");
        REQUIRE(both.run_until([&] { return both.server_user.streams.size() == 1; }));
        CHECK(both.server_user.streams[0].received == "request");
        CHECK_FALSE(asked.reset);
    }
}

TEST_CASE("a RESUME that is refused while the old link stands") {
    const std::array<std::uint8_t, 32> exporter{4, 5, 6};
    two_sessions both;
    both.establish();
    auto& asked = both.client_user.open("request");
    const auto code = GENERATE(resume_failure::unknown_session, resume_failure::position_lost,
                               resume_failure::superseded, resume_failure::try_later);
    both.client.core.make_resume(exporter, both.now);
    const auto answer = control_frame(encode(resume_fail_frame{code, 0}));
    CHECK(both.client.core.on_resume_answer(answer, both.now).status ==
          session::resume_status::failed);

    SECTION("disturbs neither the session nor the link") {
        both.client_user.send(asked, " goes on", true);
        REQUIRE(both.run_until([&] {
            return !both.server_user.streams.empty() && both.server_user.streams[0].ended;
        }));
        CHECK(both.server_user.streams[0].received == "request goes on");
    }
    SECTION("does not stand in the way of the next one") {
        both.cut();
        REQUIRE(both.resume());
        REQUIRE(both.run_until([&] { return both.server_user.streams.size() == 1; }));
        CHECK(both.server_user.streams[0].received == "request");
    }
    CHECK_FALSE(asked.reset);
}

TEST_CASE("small turns on a long way hold little memory") {
    // 1,000 turns a second at a round trip of 200 ms, in both directions.
    two_sessions both;
    both.establish({.delay = 100ms}, {.delay = 100ms});
    auto& asked = both.client_user.open("request");
    REQUIRE(both.run_until([&] { return both.server_user.streams.size() == 1; }));
    auto& answered = both.server_user.streams[0];
    std::size_t held = 0;
    for (int turn = 0; turn < 5'000; ++turn) {
        both.client_user.send(asked, "a line of fifty bytes or so, as a shell would send");
        both.server_user.send(answered, "and the answer to one");
        both.run_for(1ms);
        held = std::max({held, both.client.core.replay_held(), both.server.core.replay_held()});
    }
    CHECK(both.client.core.statistics().bytes_sent > 4'900 * 50);
    CHECK(held < std::size_t{1} << 20);
    CHECK(held > 0);
    both.run_for(1s);
    CHECK(both.client.core.replay_held() == 0);
    CHECK(both.server.core.replay_held() == 0);
}
