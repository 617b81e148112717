/// \file
/// On which terms a user may come: addresses, and what happens when its time is over.

#include "server/user_addresses.hpp"
#include "server/user_bar.hpp"
#include "server/user_terms.hpp"
#include "tests/catch.hpp"

using namespace muxsocks;
using namespace muxsocks::server;
using namespace std::chrono_literals;

namespace {

using address = user_addresses::address;
using place = std::optional<address>;

address at(const char* text) { return user_addresses::one_of(boost::asio::ip::make_address(text)); }

} // namespace

TEST_CASE("the addresses of a user") {
    user_addresses all;
    place laptop, phone;
    all.move(laptop, at("192.0.2.1"));

    SECTION("are as many as it may have") {
        CHECK(all.may_move({}, at("192.0.2.2"), 2));
        CHECK_FALSE(all.may_move({}, at("192.0.2.2"), 1));
        CHECK(all.may_move({}, at("192.0.2.2"), 0));
    }
    SECTION("may have any number of sessions") {
        all.move(phone, at("192.0.2.1"));
        CHECK(all.count() == 1);
        CHECK(all.may_move({}, at("192.0.2.1"), 1));
    }
    SECTION("move with their sessions") {
        CHECK(all.may_move(laptop, at("192.0.2.2"), 1));
        all.move(phone, at("192.0.2.1"));
        // Another session stays behind.
        CHECK_FALSE(all.may_move(laptop, at("192.0.2.2"), 1));
        all.move(laptop, at("192.0.2.2"));
        CHECK(all.count() == 2);
    }
    SECTION("are free again when nobody is there") {
        all.move(phone, at("192.0.2.1"));
        all.move(phone, {});
        CHECK(all.count() == 1);
        all.move(laptop, {});
        all.move(laptop, {});
        CHECK(all.count() == 0);
    }
    SECTION("are networks of 64 bits in IPv6") {
        all.move(phone, at("2001:db8::1"));
        CHECK(all.may_move({}, at("2001:db8::ffff:0:1"), 2));
        CHECK_FALSE(all.may_move({}, at("2001:db8:0:1::1"), 2));
    }
}

TEST_CASE("the terms of a user") {
    user_terms terms;
    const std::chrono::system_clock::time_point now(1'000'000s);
    CHECK_FALSE(terms.expired(now));
    terms.expires = std::chrono::sys_seconds(1'000'000s);
    CHECK(terms.expired(now));
    CHECK_FALSE(terms.expired(now - 1s));
    CHECK(terms.expiry_sentence() ==
          "the user's access has expired, on 1970-01-12T13:46:40Z (users[].expires)");
}

TEST_CASE("a session whose user is barred") {
    using step = user_bar::step;
    user_bar bar;
    auto now = user_bar::instant(1h);
    const notice_frame expired{notice_code::policy, 0, "expired"};
    CHECK(bar.look({}, now) == step::none);
    CHECK_FALSE(bar.cause());
    CHECK(bar.look(expired, now) == step::tell);
    REQUIRE(bar.cause());
    CHECK(bar.cause()->text == "expired");

    SECTION("is told once, and ends after a minute") {
        CHECK(bar.look(expired, now + 59s) == step::none);
        CHECK(bar.look(expired, now + 60s) == step::end);
        CHECK(bar.look(expired, now + 61s) == step::end);
    }
    SECTION("may go on if the cause goes") {
        CHECK(bar.look({}, now + 59s) == step::lift);
        CHECK_FALSE(bar.cause());
        CHECK(bar.look({}, now + 60s) == step::none);
        CHECK(bar.look(expired, now + 61s) == step::tell);
        CHECK(bar.look(expired, now + 120s) == step::none);
    }
    SECTION("is told of another cause, and has no more time for it") {
        const notice_frame quota{notice_code::quota, 7, "used up"};
        CHECK(bar.look(quota, now + 30s) == step::tell);
        CHECK(bar.look(quota, now + 60s) == step::end);
    }
}
