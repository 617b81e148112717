// Flow control at one session: when credit is granted and used, and what happens to memory that is
// promised or held.

#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

constexpr unsigned syn_data = flag::syn | flag::data;

/// A server whose windows have `window` bytes and grow up to `window_max`, and the bytes that its
/// client sends.
struct receiver : lone {
    receiver(std::uint32_t window, std::uint64_t window_max, std::size_t memory = 256 << 20,
             bool resume = true)
        : lone(with(window, window_max, memory, resume)) {
        establish();
        for (const auto id : {1U, 3U, 5U})
            feed(0, data(id, 0, "", syn_data));
        told();
    }
    static session_settings with(std::uint32_t window, std::uint64_t window_max, std::size_t memory,
                                 bool resume) {
        auto settings = settings_of(role::server);
        settings.initial_window = window;
        settings.stream_window_max = window_max;
        settings.session_memory = memory;
        settings.resume = resume;
        return settings;
    }
    void put(std::uint32_t id, std::size_t size) {
        feed(0, data(id, offsets[id], std::string(size, 'x')));
        offsets[id] += size;
    }
    /// What was sent, without ACK.
    lines of_streams() {
        auto frames = sent();
        std::erase_if(frames, [](const std::string& each) { return each.starts_with("ACK"); });
        return frames;
    }

    std::map<std::uint32_t, std::uint64_t> offsets;
};

std::string reset_for(errc why, std::uint32_t id = 1) {
    return "reset " + std::to_string(id) + ": " + make_error_code(why).message();
}

} // namespace

TEST_CASE("a receiver with a window of 1000 bytes") {
    receiver s(1000, 1000);
    auto& o = s.opened(1);
    o.reading = false;
    SECTION("takes 1000 bytes that nobody reads, and not one more") {
        s.put(1, 600);
        s.put(1, 400);
        CHECK(o.s->unread_bytes() == 1000);
        CHECK(s.told().empty());
        s.put(1, 1);
        CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
        CHECK(s.of_streams() == lines{"RST 1 code 3"});
        CHECK_FALSE(s.core.closed());
    }
    SECTION("throws away what comes once its socket takes nothing more, without a grant for it") {
        s.put(1, 600);
        s.core.discard(*o.s);
        CHECK(o.s->unread_bytes() == 0);
        s.put(1, 400);
        CHECK(o.s->unread_bytes() == 0);
        CHECK(s.core.memory_held() == 0);
        CHECK(s.of_streams().empty());
    }
    SECTION("takes nothing of a frame that goes beyond it") {
        s.put(1, 600);
        s.put(1, 401);
        CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
        CHECK(s.core.statistics().bytes_received == 600);
    }
    SECTION("lets other streams go on when one goes beyond it") {
        s.put(1, 1001);
        s.put(3, 1);
        CHECK(s.opened(3).received == "x");
    }
    SECTION("takes an end without credit") {
        s.put(1, 1000);
        s.feed(0, data(1, 1000, "", flag::fin));
        s.take(o);
        CHECK(s.told() == lines{"end 1"});
    }
    SECTION("grants what was read, when it is a quarter of the window") {
        s.put(1, 600);
        s.take(o, 249);
        CHECK(s.of_streams().empty());
        s.take(o, 1);
        CHECK(s.of_streams() == lines{"CREDIT 1 1250"});
        CHECK(s.of_streams().empty());
    }
    SECTION("grants an eighth already when the sender has used all it had") {
        s.put(1, 1000);
        s.take(o, 124);
        CHECK(s.of_streams().empty());
        s.take(o, 1);
        CHECK(s.of_streams() == lines{"CREDIT 1 1125"});
    }
    SECTION("sends one grant, the newest, however many are due") {
        s.put(1, 1000);
        for (int i = 0; i < 4; ++i)
            s.take(o, 250);
        CHECK(s.of_streams() == lines{"CREDIT 1 2000"});
    }
    SECTION("takes as much as it has granted") {
        o.reading = true;
        s.put(1, 1000);
        CHECK(s.of_streams() == lines{"CREDIT 1 2000"});
        s.put(1, 1000);
        CHECK(s.told().empty());
        s.of_streams();
        s.put(1, 1001);
        CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
    }
    SECTION("grants nothing behind the peer's end, nor after a reset") {
        s.put(1, 1000);
        s.take(o, 500);
        s.feed(0, GENERATE(true, false) ? data(1, 1000, "", flag::fin) : rst(1));
        CHECK(s.of_streams().empty());
    }
    SECTION("keeps what came in front of a reset until its owner lets go") {
        s.put(1, 700);
        const auto held = o.s;
        s.core.end_batch();
        s.core.on_bytes(0, rst(1), s.now);
        CHECK(held->unread_bytes() == 700);
    }
}

TEST_CASE("a sender with a credit of 10 bytes") {
    lone s(role::client);
    hello_frame theirs;
    theirs.initial_window = 10;
    s.establish(theirs);
    SECTION("sends as much of its request, and the rest when it may") {
        s.open("0123456789abc");
        CHECK(s.sent() == lines{"DATA 1 @0 SYN 0123456789"});
        s.feed(0, credit(1, 12));
        CHECK(s.sent() == lines{"DATA 1 @10 ab"});
        s.feed(0, credit(1, 100));
        CHECK(s.sent() == lines{"DATA 1 @12 c"});
    }
    SECTION("reads as much from its socket") {
        auto& o = s.open("");
        s.sent();
        s.send(o, "0123456789abcdef");
        CHECK(s.sent() == lines{"DATA 1 @0 0123456789"});
        CHECK(o.to_send == "abcdef");
        CHECK(s.core.statistics().windows_dry == 1);
        s.feed(0, credit(1, 15));
        CHECK(s.sent() == lines{"DATA 1 @10 abcde"});
    }
    SECTION("ignores a grant that is not higher") {
        auto& o = s.open("0123456789");
        s.send(o, "abc");
        s.sent();
        s.feed(0, credit(1, 10) + credit(1, 0) + credit(1, 9));
        CHECK(s.sent().empty());
        s.feed(0, credit(1, 12) + credit(1, 11));
        CHECK(s.sent() == lines{"DATA 1 @10 ab"});
    }
    SECTION("takes the highest grant that there can be") {
        auto& o = s.open("");
        s.sent();
        s.feed(0, credit(1, std::uint64_t{1} << 62));
        CHECK(o.s->send.limit() == std::uint64_t{1} << 62);
        s.feed(0, credit(1, (std::uint64_t{1} << 62) + 1));
        CHECK(s.core.error() == errc::credit_too_large);
    }
    SECTION("needs none for its end") {
        auto& o = s.open("0123456789");
        s.sent();
        s.core.finish(*o.s);
        CHECK(s.sent() == lines{"FIN 1 @10"});
    }
    SECTION("needs none for a reset, which does not wait for what cannot go") {
        auto& o = s.open("0123456789abc");
        s.sent();
        s.core.reset(*o.s, reset_code::cancelled);
        CHECK(s.sent() == lines{"RST 1 code 2"});
    }
    SECTION("does not end before all is sent") {
        auto& o = s.open("0123456789abc");
        s.core.finish(*o.s);
        CHECK(s.sent() == lines{"DATA 1 @0 SYN 0123456789"});
        s.feed(0, credit(1, 100));
        CHECK(s.sent() == lines{"DATA 1 @10 FIN abc"});
    }
    SECTION("is in no other stream's way") {
        s.open("0123456789abc");
        s.open("xyz");
        CHECK(s.sent() == lines{"DATA 1 @0 SYN 0123456789", "DATA 3 @0 SYN xyz"});
    }
}

TEST_CASE("bytes leave in frames that fill a record") {
    lone s(role::client);
    s.establish();
    auto& o = s.open("");
    s.sent();
    s.send(o, std::string(40'000, 'x'), true);
    std::vector<std::size_t> sizes;
    const auto out = s.output();
    for (bytes_view rest = out; !rest.empty(); rest = rest.subspan(sizes.back()))
        sizes.push_back(frame_at(rest.data()).size());
    CHECK(sizes == std::vector<std::size_t>{16'384, 16'384, 40'000 + 3 * 15 - 2 * 16'384});
}

TEST_CASE("a window of 1000 bytes that may grow to 4000") {
    SECTION("doubles while a third of it is read within one round trip") {
        receiver s(1000, 4000);
        s.put(1, 400); // The round trip is 0 here: what follows is within it.
        s.put(1, 400);
        CHECK(s.opened(1).s->recv.window() == 2000);
        CHECK(s.of_streams() == lines{"CREDIT 1 2800"});
        CHECK(s.core.memory_held() == 1000); // What is promised above the initial window.
        for (int i = 0; i < 4; ++i)
            s.put(1, 500);
        CHECK(s.opened(1).s->recv.window() == 4000);
        CHECK(s.core.memory_held() == 3000);
        s.feed(0, rst(1));
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("falls back after 5 seconds, but a limit once announced stays") {
        receiver s(1000, 4000);
        s.put(1, 400);
        s.put(1, 400);
        s.of_streams();
        s.pass(6s);
        CHECK(s.opened(1).s->recv.window() == 1000);
        s.now += 1ms;
        s.put(1, 2000);
        CHECK(s.told().empty());
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("does not grow beyond what the session may hold") {
        receiver s(1000, 4000, 900);
        s.put(1, 400);
        s.put(1, 400);
        CHECK(s.opened(1).s->recv.window() == 1000);
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("does not grow while it is read slowly") {
        receiver s(1000, 4000);
        for (int i = 0; i < 5; ++i) {
            s.now += 1s;
            s.put(1, 400);
            s.sent();
        }
        CHECK(s.opened(1).s->recv.window() == 1000);
    }
}

TEST_CASE("a window begins no larger than it may ever be") {
    receiver s(1000, 600);
    s.opened(1).reading = false;
    s.put(1, 600);
    CHECK(s.opened(1).s->recv.window() == 600);
    s.put(1, 1);
    CHECK(s.told() == lines{reset_for(errc::stream_flow_control)});
}

TEST_CASE("a session whose memory others need") {
    receiver s(1 << 20, 1 << 20);
    for (const auto id : {1U, 3U, 5U})
        s.opened(id).reading = false;
    s.put(1, 40'000);
    s.put(3, 60'000);
    s.put(5, 60'000);
    s.put(5, 20'000);
    s.of_streams();
    SECTION("has none to give while its streams have stood still for less than 5 seconds") {
        CHECK(s.core.most_stalled(s.now + 4s) == 0);
        s.core.shed_most_stalled(s.now + 4s);
        CHECK(s.told().empty());
    }
    SECTION("gives up the stream with most unread bytes of those that stand still") {
        s.pass(4s);
        s.take(s.opened(5), 1);
        s.pass(2s);
        CHECK(s.core.most_stalled(s.now) == 60'000);
        s.core.shed_most_stalled(s.now);
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 3)});
        CHECK(s.of_streams() == lines{"RST 3 code 5"});
        CHECK(s.core.most_stalled(s.now) == 40'000);
    }
    SECTION("gives nothing when all is read") {
        for (const auto id : {1U, 3U, 5U})
            s.take(s.opened(id));
        s.pass(6s);
        CHECK(s.core.most_stalled(s.now) == 0);
    }
}

TEST_CASE("a session over its bound of memory sheds") {
    receiver s(1 << 20, 1 << 20, 250'000, false);
    for (const auto id : {1U, 3U, 5U})
        s.opened(id).reading = false;
    SECTION("the stream with most unread bytes") {
        s.put(1, 60'000);
        for (int i = 0; i < 3; ++i)
            s.put(3, 60'000);
        s.put(5, 60'000);
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 3)});
    }
    SECTION("before it, one that has not moved for 5 seconds") {
        s.put(1, 60'000);
        s.pass(6s);
        for (int i = 0; i < 3; ++i)
            s.put(3, 60'000);
        s.take(s.opened(3), 1);
        s.put(5, 60'000);
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 1)});
    }
    SECTION("and never the link, nor a stream that is read") {
        s.opened(5).reading = true;
        for (int i = 0; i < 20; ++i) {
            s.put(1, 50'000);
            s.put(5, 50'000);
            s.sent();
        }
        CHECK(s.opened(5).received.size() == 1'000'000);
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 1)});
        CHECK(s.core.attached());
    }
}

TEST_CASE("what the kernel holds for a socket that is parked") {
    receiver s(1 << 20, 1 << 20, 250'000, false);
    auto& one = *s.opened(1).s;
    auto& three = *s.opened(3).s;
    REQUIRE(s.core.hold_outside(one, 100'000, s.now, s.now));
    SECTION("is charged until it moves") {
        CHECK(s.core.memory_held() == 100'000);
        CHECK(s.core.held_outside() == 100'000);
        CHECK(s.core.hold_outside(one, 120'000, s.now, s.now));
        CHECK_FALSE(s.core.hold_outside(one, 120'000, s.now, s.now));
        CHECK(s.core.memory_held() == 120'000);
        CHECK(s.core.hold_outside(one, 0, s.now, s.now));
        CHECK(s.core.memory_held() == 0);
        CHECK(s.core.held_outside() == 0);
    }
    SECTION("is charged besides what is unread") {
        s.opened(1).reading = false;
        s.put(1, 60'000);
        CHECK(s.core.memory_held() >= 160'000);
        CHECK(s.core.held_outside() == 100'000);
    }
    SECTION("goes with its stream, and does not come back") {
        s.core.reset(one, reset_code::cancelled);
        CHECK(s.core.memory_held() == 0);
        CHECK_FALSE(s.core.hold_outside(one, 100'000, s.now, s.now));
        CHECK(s.core.held_outside() == 0);
    }
    SECTION("counts where memory is needed, once it has stood for 5 seconds") {
        CHECK(s.core.most_stalled(s.now + 4s) == 0);
        CHECK(s.core.most_stalled(s.now + 6s) == 100'000);
        s.core.shed_most_stalled(s.now + 6s);
        s.settle();
        CHECK(s.told() == lines{reset_for(errc::stream_shed)});
        CHECK(s.core.memory_held() == 0);
    }
    SECTION("costs the stream that has most of it, over the session's bound") {
        s.pass(6s);
        CHECK(s.core.hold_outside(three, 200'000, s.now, s.now));
        s.settle();
        CHECK(s.told() == lines{reset_for(errc::stream_shed)});
        CHECK(s.core.memory_held() == 200'000);
        CHECK(s.core.hold_outside(three, 300'000, s.now, s.now));
        s.settle();
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 3)});
        CHECK(s.core.held_outside() == 0);
    }
    SECTION("costs no smaller stream where the largest has stood as long") {
        s.pass(6s);
        CHECK(s.core.hold_outside(three, 200'000, s.now, s.now - 5s));
        s.settle();
        CHECK(s.told() == lines{reset_for(errc::stream_shed, 3)});
        CHECK(s.core.held_outside() == 100'000);
    }
}

} // namespace muxsocks::tests
