#include "tests/catch.hpp"
#include "tests/protocol/scripted_links.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;
using muxsocks::tests::scripted_links;

namespace {

constexpr auto none = link_roles::none;

} // namespace

TEST_CASE("a link that is avoided") {
    scripted_links s(3);
    s.bulk_beside_others();
    REQUIRE(s.roles().bulk[0] == 0);
    s.avoid(0);
    CHECK(s.roles().bulk[0] != 0);
    CHECK(s.roles().small != 0);
    CHECK(s.roles().bulk[0] != s.roles().small);

    SECTION("takes nothing until it is trusted again, and bulk stays where it went") {
        const auto bulk = s.roles().bulk[0];
        s[0].avoided = false;
        s.look();
        CHECK(s.roles().bulk[0] == bulk);
    }
    SECTION("takes nothing though another one is lost") {
        s.remove(1);
        s.look();
        CHECK(s.roles() == link_roles{2, none, {2, none, none}});
    }
    SECTION("is better than nothing when it is the only one left") {
        s.remove(1);
        s.remove(2);
        s.look();
        CHECK(s.roles().small == 0);
    }
}

TEST_CASE("another link is dialled") {
    scripted_links s(1);

    SECTION("when bulk runs beside others on a long path") {
        CHECK_FALSE(s.choice.dial_due());
        s.streams = {1, 0, 0};
        s.look();
        CHECK_FALSE(s.choice.dial_due());
        s.streams = {1, 0, 1};
        s.look();
        CHECK(s.choice.dial_due());
    }
    SECTION("when bulk comes in, too") {
        s.streams = {0, 1, 1};
        s.look();
        CHECK(s.choice.dial_due());
    }
    SECTION("not where the path is short") {
        s[0].rtt = 50ms; // a queue
        s[0].rtt_min = 5ms;
        s.bulk_beside_others();
        CHECK_FALSE(s.choice.dial_due());
    }
    SECTION("once, and a third when packets are lost") {
        s.bulk_beside_others();
        s.choice.on_dial(s.now);
        s.look();
        CHECK_FALSE(s.choice.dial_due());
        s.add(1).joining = true;
        s.look();
        CHECK_FALSE(s.choice.dial_due());
        s[1].joining = false;
        s.choice.on_dial_ended(link_demand::dial_end::joined, s.now);
        s.look();
        CHECK_FALSE(s.choice.dial_due());
        s.lose(0);
        CHECK(s.choice.dial_due());
    }
    SECTION("in place of one that is avoided, before that is given up") {
        s.add(1);
        s.bulk_beside_others();
        CHECK_FALSE(s.choice.dial_due());
        s.avoid(0);
        CHECK(s.choice.dial_due());
    }
    SECTION("but not in place of two, so that there is never more than one above the maximum") {
        for (const link_number number : {1U, 2U, 3U})
            s.add(number);
        s.bulk_beside_others();
        s.lose(0);
        s.avoid(0);
        s.avoid(1);
        CHECK_FALSE(s.choice.dial_due());
        s.remove(0);
        s.look();
        CHECK(s.choice.dial_due());
    }
    SECTION("for bulk alone only where loss keeps it below the path's rate") {
        s.streams = {4, 0, 0};
        s.lose(0);
        CHECK_FALSE(s.choice.dial_due());
        s[0].bbr = false;
        s.lose(0);
        CHECK(s.choice.dial_due());
    }
    SECTION("never with a maximum of one, and never by a server") {
        for (const unsigned links_max : {1U, 0U}) {
            scripted_links alone(1, links_max);
            alone.bulk_beside_others();
            alone.lose(0);
            CHECK_FALSE(alone.choice.dial_due());
        }
    }
}

TEST_CASE("a link that is no longer of use") {
    scripted_links s(3);
    s.bulk_beside_others();
    s[0].sent_bytes_per_second = 1'000'000;
    s.lose(0);
    s.run(5s);
    REQUIRE_FALSE(s.choice.to_close());

    SECTION("is closed after a minute, one after the other, the busiest last") {
        s.streams = {1, 0, 0}; // bulk goes on, the others have gone
        s.run(58s);
        CHECK_FALSE(s.choice.to_close());
        s.run(3s);
        REQUIRE(s.choice.to_close());
        CHECK(*s.choice.to_close() != 0);
        s[*s.choice.to_close()].leaving = true;
        s.look();
        CHECK_FALSE(s.choice.to_close());
        std::erase_if(s.links, [](const link_facts& link) { return link.leaving; });
        s.look();
        REQUIRE(s.choice.to_close());
        CHECK(*s.choice.to_close() != 0);
        s.remove(*s.choice.to_close());
        s.run(1min);
        CHECK_FALSE(s.choice.to_close());
        CHECK(s.roles() == link_roles{0, none, {0, none, none}});
    }
    SECTION("is one that receives nothing, where bulk comes in") {
        s[0].sent_bytes_per_second = 0;
        s[2].received_bytes_per_second = 1'000'000;
        s[2].rtt = 300ms;
        s.streams = {};
        s.run(61s);
        REQUIRE(s.choice.to_close());
        CHECK(*s.choice.to_close() != 2);
    }
    SECTION("is the slowest where all are idle") {
        s[0].sent_bytes_per_second = 0;
        s[1].rtt = 300ms;
        s.streams = {};
        s.run(61s);
        CHECK(s.choice.to_close() == link_number{1});
    }
    SECTION("stays when it is of use again in time") {
        s.streams = {};
        s.run(50s);
        s.bulk_beside_others();
        s.run(20s);
        CHECK_FALSE(s.choice.to_close());
    }
    SECTION("stays while another one is replaced") {
        s.streams = {};
        s.add(3).joining = true;
        s.run(2min);
        CHECK_FALSE(s.choice.to_close());
    }
    SECTION("is not a server's to close") {
        scripted_links server(3, 0);
        server.run(2min);
        CHECK_FALSE(server.choice.to_close());
    }
}
