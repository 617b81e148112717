#include "protocol/copy_budget.hpp"
#include "tests/catch.hpp"
#include "tests/protocol/scripted_links.hpp"

#include <algorithm>
#include <set>
#include <vector>

using namespace muxsocks;
using muxsocks::tests::scripted_links;
using namespace std::chrono_literals;

namespace {

constexpr auto none = link_roles::none;
using bulk_links = std::array<link_number, 3>;

} // namespace

TEST_CASE("a session with one link") {
    scripted_links s(1);

    SECTION("sends everything by it") {
        s.bulk_beside_others();
        s.lose(0);
        CHECK(s.roles() == link_roles{0, none, {0, none, none}});
        CHECK(s.choice.twice_bytes_per_second() == 0);
    }
    SECTION("has nothing to send by while that one joins or leaves") {
        s[0].joining = true;
        s.look();
        CHECK(s.roles() == link_roles{});
        s[0].joining = false;
        s[0].leaving = true;
        s.look();
        CHECK(s.roles() == link_roles{});
    }
    SECTION("has no other to go by though it is avoided") {
        s.avoid(0);
        CHECK(s.roles().small == 0);
    }
    SECTION("that is idle wakes for nothing") { CHECK_FALSE(s.choice.deadline()); }
}

TEST_CASE("a session without a link") {
    scripted_links s(0);
    CHECK(s.roles() == link_roles{});
    CHECK_FALSE(s.choice.dial_due());
    CHECK_FALSE(s.choice.to_close());
}

TEST_CASE("bulk and the others") {
    scripted_links s(3);

    SECTION("go by links of their own") {
        s.bulk_beside_others();
        CHECK(s.roles().bulk == bulk_links{0, none, none});
        CHECK(s.roles().small != 0);
    }
    SECTION("share their links when only one kind runs") {
        s.streams.others = 3;
        s[0].rtt = 20ms;
        s.look();
        CHECK(s.roles().small == 0);
        CHECK(s.roles().bulk[0] == 0);
    }
    SECTION("stay where they are as links come and go beside them") {
        s.bulk_beside_others();
        const auto before = s.roles();
        s.add(7, 99ms);
        s.look();
        CHECK(s.roles() == before);
        s.remove(7);
        s.look();
        CHECK(s.roles() == before);
    }
    SECTION("move when their link is lost, bulk not to the one for the others") {
        s.bulk_beside_others();
        const auto small = s.roles().small;
        s.remove(0);
        s.look();
        CHECK(s.roles().small == small);
        CHECK(s.roles().bulk[0] == 3 - small);
    }
    SECTION("share the link that is left") {
        s.bulk_beside_others();
        s.remove(0);
        s.remove(1);
        s.look();
        CHECK(s.roles() == link_roles{2, none, {2, none, none}});
    }
}

TEST_CASE("small frames") {
    scripted_links s(3);
    s.bulk_beside_others();
    s[1].rtt = 50ms;
    s.look();
    REQUIRE(s.roles().small == 1);

    SECTION("go by the link with the least delay") { CHECK(s.roles().small == 1); }
    SECTION("stay there for a difference that is small") {
        s[1].rtt = 100ms;
        s[2].rtt = 80ms;
        s.look();
        CHECK(s.roles().small == 1);
        s[2].rtt = 70ms;
        s.look();
        CHECK(s.roles().small == 2);
    }
    SECTION("do not change for a millisecond") {
        s[1].rtt = 1ms;
        s[2].rtt = 100us;
        s.look();
        CHECK(s.roles().small == 1);
    }
    SECTION("go where less waits in the kernel") {
        s[1].unsent_bytes = 256 * 1024;
        s[1].in_flight_bytes = 64 * 1024;
        s.look();
        CHECK(s.roles().small == 2);
    }
    SECTION("never go by the link for bulk while there is another") {
        s[0].rtt = 1ms;
        s.look();
        CHECK(s.roles().small == 1);
    }
}

TEST_CASE("bulk on a path that loses packets") {
    scripted_links s(3);
    s.streams = {4, 0, 2};
    s.look();

    SECTION("goes by one link with BBR") {
        s.lose(0);
        CHECK(s.roles().bulk == bulk_links{0, none, none});
    }
    SECTION("goes by several without, but leaves one to the others") {
        s[0].bbr = false;
        s.lose(0);
        CHECK(s.roles().bulk[0] == 0);
        CHECK(s.roles().bulk[1] != none);
        CHECK(s.roles().bulk[2] == none);
        CHECK(s.roles().small != s.roles().bulk[1]);
        CHECK(s.roles().small != none);
    }
    SECTION("goes by three without others beside it") {
        s.streams.others = 0;
        s[0].bbr = false;
        s.lose(0);
        CHECK(std::count(s.roles().bulk.begin(), s.roles().bulk.end(), none) == 0);
    }
    SECTION("goes by no more links than there are streams") {
        s.streams = {1, 0, 0};
        s[0].bbr = false;
        s.lose(0);
        CHECK(s.roles().bulk == bulk_links{0, none, none});
    }
    SECTION("goes by one again when nothing was lost for ten seconds") {
        s[0].bbr = false;
        s.lose(0);
        s.run(11s);
        CHECK(s.roles().bulk == bulk_links{0, none, none});
    }
    SECTION("goes by one where a full queue loses them: that is the path's rate") {
        s[0].bbr = false;
        s[0].rtt = 200ms;
        s.lose(0);
        CHECK(s.roles().bulk == bulk_links{0, none, none});
    }
}

TEST_CASE("a small frame goes twice") {
    scripted_links s(3);
    s.bulk_beside_others();
    s[0].sent_bytes_per_second = 2'000'000; // so 100 kB/s may go twice
    s.look();

    SECTION("not where nothing is lost") {
        CHECK(s.roles().twice == none);
        CHECK(s.choice.twice_bytes_per_second() == 0);
    }
    SECTION("for a minute after a loss, by two links without bulk") {
        s.lose(0);
        const auto roles = s.roles();
        CHECK(std::set<link_number>{roles.small, roles.twice} == std::set<link_number>{1, 2});
        CHECK(s.choice.twice_bytes_per_second() > 0);
        s.run(61s);
        CHECK(s.choice.twice_bytes_per_second() == 0);
    }
    SECTION("not by the link for bulk") {
        s.remove(2);
        s.lose(0);
        CHECK(s.roles().small == 1);
        CHECK(s.roles().twice == none);
    }
    SECTION("by both where there is no bulk") {
        s.remove(2);
        s.streams.bulk_out = 0;
        s.lose(0);
        CHECK(s.roles().twice != none);
    }
    SECTION("up to a twentieth of what the path carries") {
        s.lose(0);
        CHECK(s.choice.twice_bytes_per_second() == 100'000);
    }
    SECTION("in any case a little, while the links have room") {
        s.run(2min); // the path has carried nothing lately
        s[0].sent_bytes_per_second = 0;
        s.run(2min);
        s.lose(1);
        CHECK(s.choice.twice_bytes_per_second() == link_choice::twice_least);
        SECTION("and not on a line that is too slow for it") {
            s[s.roles().small].rtt = 2s;
            s.look();
            CHECK(s.choice.twice_bytes_per_second() == 0);
        }
    }
}

TEST_CASE("what may go twice") {
    copy_budget budget;
    instant now{1h};

    SECTION("is nothing without a rate") { CHECK_FALSE(budget.take(1, now)); }
    SECTION("are frames of up to 1 KiB and their headers") {
        budget.set_rate(100'000);
        CHECK(budget.take(copy_budget::frame_max, now));
        CHECK_FALSE(budget.take(copy_budget::frame_max + 1, now));
    }
    SECTION("is what the rate says, and what one second saved up") {
        budget.set_rate(100'000);
        CHECK(budget.take(1, now));
        std::uint64_t bytes = 0;
        for (int i = 0; i < 10'000; ++i, now += 1ms)
            for (int frame = 0; frame < 4; ++frame)
                if (budget.take(1000, now)) bytes += 1000;
        CHECK(bytes >= 1'000'000);
        CHECK(bytes <= 1'101'000);
    }
    SECTION("is at least two frames at a time, however low the rate") {
        budget.set_rate(1);
        CHECK(budget.take(1024, now));
        CHECK(budget.take(1024, now));
        CHECK_FALSE(budget.take(1024, now));
    }
}

TEST_CASE("links without bulk that are crowded") {
    scripted_links s(3);
    s.streams = {1, 0, 20};
    s[0].sent_bytes_per_second = 10'000'000;
    s.run(2s);
    REQUIRE(s.choice.bulk_bytes() == bulk_meter::usual_bytes);
    const auto small = s.roles().small;

    SECTION("make streams count as bulk with less, the more the longer it lasts") {
        s[small].sent_bytes_per_second = 8'000'000; // twenty videos
        s.look(500ms);
        CHECK(s.choice.bulk_bytes() == bulk_meter::usual_bytes / 2);
        s.run(1s);
        CHECK(s.choice.bulk_bytes() <= bulk_meter::usual_bytes / 4);
        s.run(1min);
        CHECK(s.choice.bulk_bytes() == link_choice::bulk_bytes_min);
    }
    SECTION("are not with less than a quarter of what the path carries") {
        s[small].sent_bytes_per_second = 2'500'000;
        s.run(1min);
        CHECK(s.choice.bulk_bytes() == bulk_meter::usual_bytes);
    }
    SECTION("are when their own queue stands above its bound") {
        s[small].sent_bytes_per_second = 1'000'000;
        s[small].bound_bytes = 100'000;
        s[small].unsent_bytes = 20'000;
        s[small].in_flight_bytes = 90'000;
        s.look(500ms);
        const auto low = s.choice.bulk_bytes();
        CHECK(low < bulk_meter::usual_bytes);
        s.run(30s);
        CHECK(s.choice.bulk_bytes() < low);
    }
    SECTION("are not with so little that it never matters") {
        s[0].sent_bytes_per_second = 0;
        s.run(2min);
        s[small].sent_bytes_per_second = 100'000;
        s.run(10s);
        CHECK(s.choice.bulk_bytes() == bulk_meter::usual_bytes);
    }
    SECTION("are not with one stream, which has nobody beside it") {
        s.streams.others = 1;
        s[small].sent_bytes_per_second = 8'000'000;
        s.run(10s);
        CHECK(s.choice.bulk_bytes() == bulk_meter::usual_bytes);
    }
    SECTION("ask for more again when they have been none for ten seconds") {
        s[small].sent_bytes_per_second = 8'000'000;
        s.run(1s);
        const auto low = s.choice.bulk_bytes();
        s[small].sent_bytes_per_second = 2'600'000; // between an eighth and a quarter
        s.run(1min);
        CHECK(s.choice.bulk_bytes() == low);
        s[small].sent_bytes_per_second = 100'000;
        s.run(9s);
        CHECK(s.choice.bulk_bytes() == low);
        s.run(1min);
        CHECK(s.choice.bulk_bytes() == bulk_meter::usual_bytes);
    }
}
