#include "server/admission_table.hpp"

#include "tests/catch.hpp"

using namespace muxsocks::server;
using namespace std::chrono_literals;

namespace {

using table = admission_table;
constexpr table::time_point start{100h};

table::address ip(const std::string& text) { return boost::asio::ip::make_address(text); }

/// Links from `count` addresses of a block, the last number of which is put behind `prefix`.
std::vector<table::link_id> fill(table& all, const std::string& prefix, int count,
                                 table::time_point now = start) {
    std::vector<table::link_id> gone;
    for (int i = 1; i <= count; ++i) {
        const auto more = all.enter(ip(prefix + std::to_string(i)), false, now).must_go;
        gone.insert(gone.end(), more.begin(), more.end());
    }
    return gone;
}

} // namespace

TEST_CASE("a newcomer gets the place of somebody who says nothing") {
    table all({8, 2});
    SECTION("while there are places nobody goes") {
        CHECK(fill(all, "10.0.0.", 4).empty());
        CHECK(fill(all, "10.0.1.", 4).empty());
        CHECK(all.size() == 8);
    }
    SECTION("then somebody of the fullest block goes, the oldest first") {
        fill(all, "10.0.0.", 3);
        fill(all, "10.0.1.", 5);
        CHECK(all.enter(ip("1.2.3.4"), false, start).must_go == std::vector<table::link_id>{4});
        CHECK(all.enter(ip("1.2.4.4"), false, start).must_go == std::vector<table::link_id>{5});
        // Now both blocks have three.
        CHECK(all.enter(ip("1.2.5.4"), false, start).must_go == std::vector<table::link_id>{1});
        CHECK(all.size() == 8);
    }
    SECTION("or who is furthest from having authenticated") {
        fill(all, "10.0.0.", 8);
        all.on_progress(1, link_progress::speaking);
        all.on_progress(2, link_progress::encrypted);
        CHECK(all.enter(ip("1.2.3.4"), false, start).must_go == std::vector<table::link_id>{3});
    }
    SECTION("or who has failed to authenticate and waits to be told so, if nobody is silent") {
        fill(all, "10.0.0.", 8);
        for (table::link_id id = 1; id <= 8; ++id)
            all.on_progress(id, link_progress::speaking);
        all.on_progress(5, link_progress::failed);
        all.on_progress(5, link_progress::speaking);
        CHECK(all.enter(ip("1.2.3.4"), false, start).must_go == std::vector<table::link_id>{5});
    }
    SECTION("or who has been shaking hands for too long") {
        fill(all, "10.0.0.", 8);
        for (table::link_id id = 1; id <= 8; ++id)
            all.on_progress(id, id == 1 ? link_progress::speaking : link_progress::encrypted);
        CHECK(all.enter(ip("10.0.0.99"), false, start + 1999ms).id == 0);
        CHECK(all.size() == 8);
        const auto next = all.enter(ip("10.0.0.99"), false, start + 2s);
        CHECK(next.must_go == std::vector<table::link_id>{2});
        CHECK(all.has(next.id));
    }
    SECTION("or of a crowd from one block, which holds more than a quarter of the places") {
        fill(all, "10.0.0.", 3);
        for (int i = 0; i < 5; ++i)
            all.enter(ip("20.0." + std::to_string(i) + ".1"), false, start);
        for (table::link_id id = 1; id <= 8; ++id)
            all.on_progress(id, link_progress::shaking_hands);
        CHECK(all.enter(ip("10.0.0.99"), false, start).id == 0);
        const auto next = all.enter(ip("1.2.3.4"), false, start);
        CHECK(next.must_go == std::vector<table::link_id>{1});
        all.on_progress(next.id, link_progress::shaking_hands);
        // All come from different places now, and are busy.
        CHECK(all.enter(ip("4.3.2.1"), false, start).id == 0);
    }
    SECTION("within a host for another one of it") {
        CHECK(all.enter(ip("1.1.1.1"), false, start).must_go.empty());
        CHECK(all.enter(ip("1.1.1.1"), false, start).must_go.empty());
        all.on_progress(1, link_progress::speaking);
        CHECK(all.enter(ip("1.1.1.1"), false, start).must_go == std::vector<table::link_id>{2});
    }
    SECTION("but an exempt address is not limited by itself") {
        for (int i = 0; i < 8; ++i)
            CHECK(all.enter(ip("1.1.1.1"), true, start).must_go.empty());
        CHECK(all.enter(ip("1.1.1.1"), true, start).must_go.size() == 1);
    }
}

TEST_CASE("who has come just now may be heard in a moment") {
    table all({8, 8});
    const auto now = start + 1s;
    SECTION("and goes behind who has been silent for longer") {
        fill(all, "10.0.0.", 4, now);
        all.enter(ip("20.0.0.1"), false, now - 250ms);
        fill(all, "10.0.1.", 3, now);
        CHECK(all.enter(ip("1.2.3.4"), false, now).must_go == std::vector<table::link_id>{5});
    }
    SECTION("or belongs to a crowd that is shaking hands") {
        fill(all, "10.0.0.", 7, now);
        for (table::link_id id = 1; id <= 7; ++id)
            all.on_progress(id, link_progress::encrypted);
        all.enter(ip("20.0.0.1"), false, now);
        // One more of the crowd has no place, and another newcomer has one of the crowd's.
        CHECK(all.enter(ip("10.0.0.99"), false, now).id == 0);
        CHECK(all.enter(ip("1.2.3.4"), false, now).must_go == std::vector<table::link_id>{1});
        CHECK(all.enter(ip("10.0.0.98"), false, now).id == 0);
    }
    SECTION("and goes for one more of the same crowd") {
        fill(all, "10.0.0.", 8, now);
        for (table::link_id id = 1; id <= 6; ++id)
            all.on_progress(id, link_progress::encrypted);
        CHECK(all.enter(ip("10.0.0.99"), false, now).must_go == std::vector<table::link_id>{7});
    }
    SECTION("and goes where all are busy, and from many places") {
        for (int i = 0; i < 8; ++i)
            all.enter(ip("20.0." + std::to_string(i) + ".1"), false, now);
        for (table::link_id id = 1; id <= 7; ++id)
            all.on_progress(id, link_progress::encrypted);
        CHECK(all.enter(ip("1.2.3.4"), false, now).must_go == std::vector<table::link_id>{8});
    }
}

TEST_CASE("of many silent links a 64th of the places goes at once") {
    table all({256, 8});
    for (unsigned i = 0; i < 256; ++i)
        all.enter(boost::asio::ip::address_v4(i << 8U), false, start);
    const auto later = start + 250ms;
    CHECK(all.enter(ip("200.1.1.1"), false, later).must_go ==
          std::vector<table::link_id>{1, 2, 3, 4});
    for (int i = 0; i < 3; ++i)
        CHECK(all.enter(ip("200.2." + std::to_string(i) + ".1"), false, later).must_go.empty());
    CHECK(all.enter(ip("200.3.1.1"), false, later).must_go.size() == 4);
}

TEST_CASE("so do as many that have come just now, where nobody is silent") {
    table all({256, 8});
    SECTION("from everywhere") {
        for (unsigned i = 0; i < 256; ++i)
            all.enter(boost::asio::ip::address_v4(i << 8U), false, start);
        all.on_progress(2, link_progress::shaking_hands);
        CHECK(all.enter(ip("200.1.1.1"), false, start).must_go ==
              std::vector<table::link_id>{1, 3, 4, 5});
        for (int i = 0; i < 3; ++i)
            CHECK(all.enter(ip("200.2." + std::to_string(i) + ".1"), false, start).must_go.empty());
        CHECK(all.enter(ip("200.3.1.1"), false, start).must_go.size() == 4);
    }
    SECTION("from a crowd, for one more of it; for others only the one that has to") {
        fill(all, "10.0.0.", 128);
        for (unsigned i = 0; i < 128; ++i)
            all.enter(boost::asio::ip::address_v4(i << 8U), false, start);
        CHECK(all.enter(ip("200.1.1.1"), false, start).must_go == std::vector<table::link_id>{1});
        CHECK(all.enter(ip("10.0.0.200"), false, start).must_go ==
              std::vector<table::link_id>{2, 3, 4, 5});
        CHECK(all.enter(ip("200.1.2.1"), false, start).must_go.empty());
    }
}

TEST_CASE("blocks of IPv6 are looked for from wide to narrow") {
    table all({8, 8});
    SECTION("a whole /48 is one block, though each of its /64 has one link") {
        for (int i = 1; i <= 6; ++i)
            all.enter(ip("2001:db8:1:" + std::to_string(i) + "00::1"), false, start);
        all.enter(ip("2001:db8:2::1"), false, start);
        all.enter(ip("2001:db8:3::1"), false, start);
        for (table::link_id next = 1; next <= 4; ++next)
            CHECK(all.enter(ip("2001:db8:" + std::to_string(next + 3) + "::1"), false, start)
                      .must_go == std::vector<table::link_id>{next});
    }
    SECTION("and in it the fullest /56, and there the fullest /64") {
        all.enter(ip("2001:db8:1:100::1"), false, start);
        all.enter(ip("2001:db8:1:201::1"), false, start);
        all.enter(ip("2001:db8:1:202::1"), false, start);
        all.enter(ip("2001:db8:1:202::2"), false, start);
        for (int i = 4; i < 8; ++i)
            all.enter(ip("2001:db8:" + std::to_string(i) + "::1"), false, start);
        CHECK(all.enter(ip("::9"), false, start).must_go == std::vector<table::link_id>{3});
    }
    SECTION("a host is a /64") {
        CHECK(host_of(ip("2001:db8:1:2:3:4:5:6")) == ip("2001:db8:1:2::"));
        CHECK(host_of(ip("1.2.3.4")) == ip("1.2.3.4"));
    }
}

TEST_CASE("a host that authenticated lately has places of its own") {
    table all({8, 8});
    all.on_success(ip("9.9.9.9"), start);
    SECTION("which strangers do not take") {
        const auto known = all.enter(ip("9.9.9.9"), false, start + 1h).id;
        fill(all, "10.0.0.", 200);
        fill(all, "9.9.9.", 9); // the last one is the known host
        CHECK(all.has(known));
        CHECK(all.size() <= 16);
    }
    SECTION("for a day") {
        const auto once = all.enter(ip("9.9.9.9"), false, start + 25h).id;
        fill(all, "9.9.9.1", 9);
        CHECK_FALSE(all.has(once));
    }
}

TEST_CASE("a host that fails again and again waits") {
    table all({8, 8});
    const auto from = ip("10.0.0.1");
    const auto fail = [&](int count, table::time_point now) {
        for (int i = 0; i < count; ++i)
            all.on_failure(from, now);
    };
    SECTION("not for its first failures, then longer each time, to 4 s") {
        fail(3, start);
        CHECK(all.pause(from, start) == 0ms);
        for (const auto expected : {250ms, 500ms, 1000ms, 2000ms, 4000ms, 4000ms}) {
            fail(1, start);
            CHECK(all.pause(from, start) == expected);
        }
        CHECK(all.pause(ip("10.0.0.2"), start) == 0ms);
    }
    SECTION("not any more after five minutes, nor once it has authenticated") {
        fail(9, start);
        CHECK(all.pause(from, start + 301s) == 0ms);
        all.on_success(from, start + 1s);
        CHECK(all.pause(from, start + 2s) == 0ms);
        fail(9, start + 3s);
        CHECK(all.pause(from, start + 4s) == 0ms);
    }
    SECTION("and what is remembered is bounded") {
        for (int i = 0; i < 30'000; ++i)
            all.on_failure(boost::asio::ip::address_v4(static_cast<unsigned>(i) << 8U),
                           start + std::chrono::milliseconds(i));
        fail(4, start + 1min);
        CHECK(all.pause(from, start + 1min) == 250ms);
    }
}

TEST_CASE("TLS handshakes from one block without end") {
    table all({8, 8});
    const auto take = [&](const char* from, int count, table::time_point now) {
        auto wait = 0ms;
        for (int i = 0; i < count; ++i)
            wait = all.take_handshake(ip(from), now);
        return wait;
    };
    SECTION("wait for their turn beyond a burst, 32 a second") {
        CHECK(take("10.0.0.1", 128, start) == 0ms);
        CHECK(take("10.0.0.2", 32, start) == 1000ms);
        CHECK(take("10.0.0.3", 1, start + 2s) == 0ms);
    }
    SECTION("wait 4 s at most, and are forgotten") {
        CHECK(take("10.0.0.1", 10'000, start) == 4000ms);
        CHECK(take("10.0.0.1", 128, start + 9s) == 0ms);
    }
    SECTION("delay nobody of another block, nor who has authenticated") {
        all.on_success(ip("10.0.0.9"), start);
        take("10.0.0.1", 10'000, start);
        take("2001:db8:1:ffff::1", 10'000, start);
        CHECK(take("10.0.1.1", 1, start) == 0ms);
        CHECK(take("10.0.0.9", 1, start) == 0ms);
        CHECK(take("2001:db8:1::1", 1, start) > 3s);
        CHECK(take("2001:db8:2::1", 1, start) == 0ms);
    }
}

TEST_CASE("a link behind a balancer is judged by the address that the header names") {
    table all({8, 2});
    const auto first = all.enter(ip("10.0.0.1"), true, start).id;
    const auto second = all.enter(ip("10.0.0.1"), true, start).id;
    const auto third = all.enter(ip("10.0.0.1"), true, start).id;
    CHECK(all.move_to(first, ip("1.1.1.1"), false, start).must_go.empty());
    CHECK(all.move_to(second, ip("1.1.1.1"), false, start).must_go.empty());
    CHECK(all.move_to(third, ip("1.1.1.1"), false, start).must_go ==
          std::vector<table::link_id>{first});
    CHECK(all.move_to(first, ip("2.2.2.2"), false, start).must_go.empty());
}
