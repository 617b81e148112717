#include "protocol/link_choice.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <set>
#include <vector>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr auto none = link_roles::none;
using bulk_links = std::array<link_number, 3>;

/// A session's links, looked at four times a second. They answer unless a test says otherwise.
struct scripted_links {
    link_choice choice;
    std::vector<link_facts> links;
    stream_facts streams;
    instant now{1h};

    explicit scripted_links(unsigned count, unsigned links_max = 3) : choice(links_max) {
        for (link_number number = 0; number < count; ++number)
            add(number);
        look();
    }
    link_facts& add(link_number number, duration rtt = 100ms) {
        link_facts link;
        link.number = number;
        link.bbr = true;
        link.rtt = link.rtt_min = rtt;
        link.last_heard = now;
        links.push_back(link);
        return links.back();
    }
    link_facts& operator[](link_number number) {
        return *std::find_if(links.begin(), links.end(),
                             [&](const link_facts& link) { return link.number == number; });
    }
    void remove(link_number number) {
        std::erase_if(links, [&](const link_facts& link) { return link.number == number; });
    }
    void look(duration later = 250ms) {
        now += later;
        choice.update(links, streams, now);
    }
    void run(duration time) {
        for (const auto end = now + time; now < end;)
            look();
    }
    void lose(link_number number) {
        ++(*this)[number].retransmits;
        look();
    }
    void bulk_beside_others() {
        streams = {1, 0, 3};
        look();
    }
    void send(link_number number) {
        auto& link = (*this)[number];
        if (!link.unanswered_since) link.unanswered_since = now;
    }
    void hear(link_number number) {
        (*this)[number].last_heard = now;
        (*this)[number].unanswered_since.reset();
    }
    const link_roles& roles() const { return choice.roles(); }
};

} // namespace

TEST_CASE("a session with one link") {
    scripted_links s(1);

    SECTION("sends everything by it") {
        s.bulk_beside_others();
        s.lose(0);
        CHECK(s.roles() == link_roles{0, none, {0, none, none}});
        CHECK_FALSE(s.choice.send_twice(10, s.now));
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
    SECTION("asks it whether it lives, and has no other to go by") {
        s.send(0);
        s.run(2s);
        CHECK(s.choice.take_ask());
        CHECK_FALSE(s.choice.take_ask());
        s.run(20s);
        CHECK_FALSE(s.choice.avoided(0));
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
        CHECK_FALSE(s.choice.send_twice(100, s.now));
    }
    SECTION("for a minute after a loss, by two links without bulk") {
        s.lose(0);
        const auto roles = s.roles();
        CHECK(std::set<link_number>{roles.small, roles.twice} == std::set<link_number>{1, 2});
        CHECK(s.choice.send_twice(100, s.now));
        s.run(61s);
        CHECK_FALSE(s.choice.send_twice(100, s.now));
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
    SECTION("up to 1 KiB") {
        s.lose(0);
        CHECK(s.choice.send_twice(1024, s.now));
        CHECK_FALSE(s.choice.send_twice(1025, s.now));
    }
    SECTION("up to a twentieth of what the path carries") {
        s.lose(0);
        s.choice.send_twice(1, s.now);
        std::uint64_t bytes = 0;
        for (int i = 0; i < 10'000; ++i, s.now += 1ms)
            for (int frame = 0; frame < 4; ++frame)
                if (s.choice.send_twice(1000, s.now)) bytes += 1000;
        CHECK(bytes >= 1'000'000);
        CHECK(bytes <= 1'101'000); // ten seconds, and what one second saved up
    }
    SECTION("in any case a little, while the links have room") {
        s.run(2min); // the path has carried nothing lately
        s[0].sent_bytes_per_second = 0;
        s.run(2min);
        s.lose(1);
        std::uint64_t bytes = 0;
        for (int i = 0; i < 200; ++i, s.now += 50ms)
            if (s.choice.send_twice(100, s.now)) bytes += 100;
        CHECK(bytes == 20'000);
        SECTION("and not on a line that is too slow for it") {
            s[s.roles().small].rtt = 2s;
            s.look();
            bytes = 0;
            for (int i = 0; i < 200; ++i, s.now += 50ms)
                if (s.choice.send_twice(100, s.now)) bytes += 100;
            CHECK(bytes == 0);
        }
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

TEST_CASE("a link that owes an answer") {
    scripted_links s(3);
    s.bulk_beside_others();
    REQUIRE(s.roles().bulk[0] == 0);
    s.send(0);

    SECTION("is asked after a second where its round trip is short, and others with it") {
        s[0].rtt = 10ms;
        s.look(749ms);
        CHECK_FALSE(s.choice.take_ask());
        CHECK(s.choice.deadline() == *s[0].unanswered_since + 1s);
        s.look(251ms);
        CHECK(s.choice.take_ask());
    }
    SECTION("is asked after four round trips where that is longer") {
        s[0].rtt = 600ms;
        s.look(2399ms);
        CHECK_FALSE(s.choice.take_ask());
        s.look(1ms);
        CHECK(s.choice.take_ask());
    }
    SECTION("is not asked when it owes nothing, however silent") {
        s.hear(0);
        s.run(1h);
        CHECK_FALSE(s.choice.take_ask());
    }
    SECTION("is asked once") {
        s.run(2s);
        CHECK(s.choice.take_ask());
        s.run(10s);
        CHECK_FALSE(s.choice.take_ask());
    }
    SECTION("is avoided when another one has answered meanwhile") {
        s.run(2s);
        CHECK_FALSE(s.choice.avoided(0));
        s.hear(1);
        s.look();
        CHECK(s.choice.avoided(0));
        CHECK(s.roles().bulk[0] != 0);
        CHECK(s.roles().small != 0);
        CHECK(s.roles().bulk[0] != s.roles().small);

        SECTION("until a byte comes on it, and bulk stays where it went") {
            const auto bulk = s.roles().bulk[0];
            s.hear(0);
            s.look();
            CHECK_FALSE(s.choice.avoided(0));
            CHECK(s.roles().bulk[0] == bulk);
        }
        SECTION("until a byte comes on it, even if it owes for more") {
            s[0].last_heard = s.now;
            s.look();
            CHECK_FALSE(s.choice.avoided(0));
            s.look(1s);
            CHECK(s.choice.take_ask());
        }
        SECTION("until a byte comes on it, though the one that answered is lost") {
            s.remove(1);
            s.look();
            CHECK(s.choice.avoided(0));
            CHECK(s.roles() == link_roles{2, none, {2, none, none}});
        }
        SECTION("rather than nothing, not when it is the only one left") {
            s.remove(1);
            s.remove(2);
            s.look();
            CHECK(s.roles().small == 0);
        }
    }
    SECTION("is not avoided for an answer that came before it was asked") {
        s.look(500ms);
        s.hear(1);
        s.run(3s);
        CHECK_FALSE(s.choice.avoided(0));
    }
    SECTION("is not asked while it joins, which has a time of its own") {
        s[0].joining = true;
        s.run(1min);
        CHECK_FALSE(s.choice.take_ask());
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
        s.send(0);
        s.run(2s);
        s.hear(1);
        s.look();
        REQUIRE(s.choice.avoided(0));
        CHECK(s.choice.dial_due());
    }
    SECTION("but not in place of two, so that there is never more than one above the maximum") {
        for (const link_number number : {1, 2, 3})
            s.add(number);
        s.bulk_beside_others();
        s.lose(0);
        s.send(0);
        s.send(1);
        s.run(2s);
        s.hear(2);
        s.look();
        REQUIRE(s.choice.avoided(0));
        REQUIRE(s.choice.avoided(1));
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
