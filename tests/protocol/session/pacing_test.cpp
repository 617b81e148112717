// Streams that keep to a rate: what is read of their sockets, and what is granted.

#include "protocol/session/pace.hpp"

#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

constexpr unsigned syn_data = flag::syn | flag::data;

/// As much as the test gives.
struct allowance final : pace {
    explicit allowance(std::size_t unit) { at_once_ = unit; }
    void want(instant) override { ++wanted; }
    void give(std::int64_t bytes) { left_ += bytes; }
    void move_at_once(std::size_t bytes) { at_once_ = bytes; }
    void keep_for_small(std::int64_t bytes) { reserve_ = bytes; }
    void take_back_to(std::int64_t bytes) { most_ = bytes; }
    std::int64_t left() const { return left_; }
    int wanted = 0;
};

/// A server with three streams, whose windows have 1000 bytes.
struct paced : lone {
    explicit paced(session_settings settings = with()) : lone(std::move(settings)) {
        hello_frame theirs;
        theirs.initial_window = 1 << 20;
        theirs.features = feature::datagrams;
        establish(theirs);
        core.rates().set(&reads, &credits);
        for (const auto id : {1U, 3U, 5U})
            feed(0, data(id, 0, "", syn_data));
        told();
    }
    ~paced() { core.rates().set(nullptr, nullptr); }
    static session_settings with() {
        auto settings = settings_of(role::server);
        settings.initial_window = 1000;
        settings.stream_window_max = 1000;
        settings.datagrams = true;
        return settings;
    }
    /// Sizes of the DATA that is sent now.
    std::map<std::uint32_t, std::size_t> moved() {
        std::map<std::uint32_t, std::size_t> sizes;
        const auto out = output();
        for (bytes_view rest = out; !rest.empty();) {
            const auto whole = frame_at(rest.data());
            const auto header = decode_header(whole.data());
            if ((header.flags & flag::data) != 0)
                sizes[header.stream_id] += header.length - offset_size;
            rest = rest.subspan(whole.size());
        }
        return sizes;
    }
    lines granted() {
        auto frames = sent();
        std::erase_if(frames, [](const auto& each) { return !each.starts_with("CREDIT"); });
        return frames;
    }
    void put(std::uint32_t id, std::size_t size) {
        feed(0, data(id, offsets[id], std::string(size, 'x')));
        offsets[id] += size;
    }

    allowance reads{1000};
    allowance credits{100};
    std::map<std::uint32_t, std::uint64_t> offsets;
};

const std::string much(1'000'000, 'x');

/// Of a window of 10,000 bytes a stream may send 100 unasked.
session_settings little_unasked() {
    auto settings = paced::with();
    settings.initial_window = 10'000;
    settings.stream_window_max = 10'000;
    settings.unasked_window = 100;
    return settings;
}

} // namespace

TEST_CASE("reads that keep to a rate") {
    paced s;
    SECTION("wait where there is nothing left, and ask for more") {
        s.send(s.opened(1), much);
        CHECK(s.moved().empty());
        CHECK(s.reads.wanted > 0);
        CHECK(s.core.rates().waiting_reads() == 1);
        CHECK_FALSE(s.core.wants_turn(0));
    }
    SECTION("go on with as much as there is, and no visit is cut") {
        s.send(s.opened(1), much);
        s.reads.give(2500);
        s.core.rates().on_pace(s.now);
        CHECK(s.moved() == std::map<std::uint32_t, std::size_t>{{1, 3000}});
        CHECK(s.reads.left() == -500);
        s.reads.give(500);
        s.core.rates().on_pace(s.now);
        CHECK(s.moved().empty());
        s.reads.give(1);
        s.core.rates().on_pace(s.now);
        CHECK(s.moved() == std::map<std::uint32_t, std::size_t>{{1, 1000}});
    }
    SECTION("are shared by the streams") {
        s.reads.give(120'000);
        for (const auto id : {1U, 3U, 5U})
            s.send(s.opened(id), much);
        const auto sizes = s.moved();
        REQUIRE(sizes.size() == 3);
        for (const auto& [id, size] : sizes) {
            CHECK(size > 20'000);
            CHECK(size < 60'000);
        }
    }
    SECTION("of little go first, on credit up to a bound") {
        s.reads.move_at_once(scheduler::quantum_contended);
        s.reads.give(200'000);
        s.send(s.opened(1), much); // Bulk from here on.
        CHECK(s.moved().at(1) >= 200'000);
        s.reads.keep_for_small(100'000);
        (void)s.moved(); // The rest of a visit that the end of a chunk has cut.
        s.send(s.opened(3), "key");
        CHECK(s.moved() == std::map<std::uint32_t, std::size_t>{{3, 3}});
        s.reads.give(-100'000);
        s.send(s.opened(5), "key");
        CHECK(s.moved().empty());
        s.reads.give(50'000);
        s.core.rates().on_pace(s.now);
        CHECK(s.moved() == std::map<std::uint32_t, std::size_t>{{5, 3}});
    }
    SECTION("go on as ever without one") {
        s.send(s.opened(1), much.substr(0, 100'000));
        s.core.rates().set(nullptr, &s.credits);
        CHECK(s.moved() == std::map<std::uint32_t, std::size_t>{{1, 100'000}});
    }
    SECTION("of datagrams count, too") {
        s.send_datagram(s.opened(1), std::string(100, 'x'));
        (void)s.output();
        CHECK(s.core.statistics().datagrams_sent == 0);
        s.reads.give(1);
        s.core.rates().on_pace(s.now);
        CHECK_FALSE(s.output().empty());
        CHECK(s.core.statistics().datagrams_sent == 1);
        CHECK(s.reads.left() == -99);
    }
}

TEST_CASE("grants that keep to a rate") {
    paced s;
    SECTION("come in small parts, by turns") {
        s.put(1, 800);
        s.put(3, 400);
        // What needed no grant has counted.
        CHECK(s.credits.left() == -1200);
        CHECK(s.granted().empty());
        CHECK(s.core.rates().waiting_credits() == 2);
        CHECK(s.credits.wanted > 0);
        s.credits.give(1200 + 251);
        s.core.rates().on_pace(s.now);
        CHECK(s.granted() == lines{"CREDIT 3 1100", "CREDIT 1 1200"});
        CHECK(s.credits.left() == -49);
    }
    SECTION("are no more than was consumed") {
        s.credits.give(11'000);
        s.put(1, 1000);
        CHECK(s.granted() == lines{"CREDIT 1 2000"});
        CHECK(s.credits.left() == 9000);
        s.put(1, 1000);
        CHECK(s.granted() == lines{"CREDIT 1 3000"});
        CHECK(s.credits.left() == 8000);
    }
    SECTION("let nobody send more than was said") {
        s.put(1, 1000);
        s.core.rates().on_pace(s.now);
        CHECK(s.granted().empty());
        s.put(1, 1);
        CHECK(s.told() ==
              lines{"reset 1: " + make_error_code(errc::stream_flow_control).message()});
    }
    SECTION("of streams that are gone are nobody's") {
        s.put(1, 500);
        s.put(3, 500);
        s.feed(0, rst(1));
        s.credits.give(1000 + 401);
        s.core.rates().on_pace(s.now);
        CHECK(s.granted() == lines{"CREDIT 3 1500"});
    }
    SECTION("go on as ever without one") {
        s.put(1, 500);
        CHECK(s.granted().empty());
        s.core.rates().set(&s.reads, nullptr);
        CHECK(s.granted() == lines{"CREDIT 1 1500"});
        s.core.rates().set(&s.reads, &s.credits);
        s.put(1, 500);
        CHECK(s.granted().empty());
    }
    SECTION("are not needed by datagrams, which are lost beyond it") {
        s.credits.give(1000);
        octets payload{static_cast<std::uint8_t>(control_type::datagram)};
        payload.insert(payload.end(), 600, 'x');
        const auto datagram = control(payload, 1);
        s.feed(0, datagram + datagram + datagram);
        CHECK(s.core.statistics().datagrams_received == 2);
        CHECK(s.core.statistics().datagrams_ignored == 1);
    }
}

TEST_CASE("a session that lets streams send little unasked") {
    SECTION("grants the rest of the window with the first bytes where there is no rate") {
        paced s(little_unasked());
        s.core.rates().set(nullptr, nullptr);
        CHECK(s.granted() == lines{"CREDIT 1 10000", "CREDIT 3 10000", "CREDIT 5 10000"});
        s.feed(0, data(7, 0, "request", syn_data));
        CHECK(s.granted() == lines{"CREDIT 7 10007"});
        s.feed(0, data(9, 0, std::string(101, 'x'), syn_data));
        CHECK(s.told().back() ==
              "reset 9: " + make_error_code(errc::stream_flow_control).message());
    }
    paced s(little_unasked());
    SECTION("begins with small windows where there is one") {
        s.credits.give(50'000);
        s.put(1, 20);
        CHECK(s.granted() == lines{"CREDIT 1 400"});
        CHECK(s.credits.left() == 50'000 - 20 - 300);
    }
    SECTION("counts what was sent unasked") {
        s.put(1, 100);
        s.put(3, 100);
        CHECK(s.granted().empty());
        CHECK(s.credits.left() == -200);
    }
    SECTION("has windows grow while the rate allows more than they do") {
        s.credits.give(50'000);
        for (std::uint64_t window = 400; window < 10'000; window *= 2) {
            s.put(1, 20);
            s.put(1, s.opened(1).s->recv.announced() - s.offsets[1]);
            (void)s.granted();
            CHECK(s.opened(1).s->recv.window() == std::min<std::uint64_t>(2 * window, 10'000));
        }
        const auto left = s.credits.left();
        s.credits.give(-left);
        s.put(3, 100);
        CHECK(s.opened(3).s->recv.window() == 400);
    }
    SECTION("takes back what a stream was granted and does not use") {
        s.credits.take_back_to(1'000'000);
        s.credits.give(50'000);
        s.put(1, 20);
        s.put(3, 30);
        s.put(5, 40);
        CHECK(s.granted().size() == 3);
        CHECK(s.credits.left() == 50'000 - 90 - 3 * 300);
        s.feed(0, rst(1));
        CHECK(s.credits.left() == 50'000 - 90 - 2 * 300);
        s.feed(0, data(3, 30, std::string(200, 'x'), flag::data | flag::fin));
        CHECK(s.credits.left() == 50'000 - 20 - 230 - 340);
        s.credits.take_back_to(0);
        const auto left = s.credits.left();
        s.feed(0, rst(5));
        CHECK(s.credits.left() == left);
    }
    SECTION("takes back nothing that has cost nothing") {
        s.credits.take_back_to(1'000'000);
        s.credits.give(50'000);
        s.core.rates().set(nullptr, nullptr);
        CHECK(s.granted().size() == 3);
        s.core.rates().set(&s.reads, &s.credits);
        CHECK(s.credits.left() == 50'000);
        s.feed(0, rst(1));
        CHECK(s.credits.left() == 50'000);
        // It counts as it comes.
        s.put(3, 9'990);
        s.feed(0, data(3, 9'990, "x", flag::data | flag::fin));
        CHECK(s.credits.left() == 50'000 - 9'991);
    }
    SECTION("takes it back once") {
        s.credits.take_back_to(1'000'000);
        s.credits.give(50'000);
        s.put(1, 20);
        s.feed(0, data(1, 20, "", flag::data | flag::fin));
        CHECK(s.credits.left() == 50'000 - 20);
        s.core.rates().set(nullptr, nullptr);
        CHECK(s.granted() == lines{"CREDIT 3 10000", "CREDIT 5 10000"});
        s.core.rates().set(&s.reads, &s.credits);
        s.feed(0, rst(1));
        CHECK(s.credits.left() == 50'000 - 20);
    }
    SECTION("counts what comes though it has reset the stream") {
        s.credits.take_back_to(1'000'000);
        s.credits.give(50'000);
        s.put(1, 20);
        CHECK(s.granted() == lines{"CREDIT 1 400"});
        s.core.reset(*s.opened(1).s, reset_code::cancelled);
        s.put(1, 100);
        CHECK(s.credits.left() == 50'000 - 320 - 100);
        CHECK_FALSE(s.output().empty());
        CHECK(s.credits.left() == 50'000 - 120);
        s.put(1, 280);
        CHECK(s.credits.left() == 50'000 - 400);
    }
}

} // namespace muxsocks::tests
