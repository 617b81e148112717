#include "protocol/path_watch.hpp"

#include "tests/catch.hpp"

#include <vector>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

struct watched {
    path_watch path;
    std::vector<link_facts> links;
    instant now{1h};

    watched() {
        for (const link_number number : {0U, 3U}) {
            link_facts link;
            link.number = number;
            link.rtt = 102ms;
            link.rtt_min = 100ms;
            links.push_back(link);
        }
        look(0s);
    }
    void look(duration later) {
        now += later;
        path.update(links, now);
    }
};

} // namespace

TEST_CASE("a path") {
    watched w;

    SECTION("loses nothing at first") {
        CHECK_FALSE(w.path.loses(w.now));
        CHECK_FALSE(w.path.retransmits(w.now));
        CHECK_FALSE(w.path.thin(w.now));
    }
    SECTION("loses for a minute after one of its links has retransmitted") {
        w.links[1].retransmits = 1;
        w.look(1s);
        CHECK(w.path.loses(w.now));
        CHECK(w.path.retransmits(w.now));
        w.look(59s);
        CHECK(w.path.loses(w.now));
        w.look(1s);
        CHECK_FALSE(w.path.loses(w.now));
        CHECK_FALSE(w.path.retransmits(w.now));
    }
    SECTION("loses, too, when segments come out of order, but not what we send") {
        w.links[0].out_of_order = 5;
        w.look(1s);
        CHECK(w.path.loses(w.now));
        CHECK_FALSE(w.path.retransmits(w.now));
        CHECK_FALSE(w.path.thin(w.now));
    }
    SECTION("is thin where packets are lost though no queue stands") {
        w.links[0].retransmits = 1;
        w.look(1s);
        CHECK(w.path.thin(w.now));
        w.look(10s);
        CHECK_FALSE(w.path.thin(w.now));
    }
    SECTION("is not thin where a full queue loses them") {
        w.links[0].rtt = 190ms;
        w.links[0].retransmits = 1;
        w.look(1s);
        CHECK(w.path.loses(w.now));
        CHECK_FALSE(w.path.thin(w.now));
    }
    SECTION("is not thin for BBR, which does not mind") {
        w.links[0].bbr = true;
        w.links[0].retransmits = 1;
        w.look(1s);
        CHECK_FALSE(w.path.thin(w.now));
    }
    SECTION("knows a link that has gone no more, and one that comes with its losses") {
        w.links[0].retransmits = 7;
        w.look(1s);
        w.links.erase(w.links.begin());
        w.look(61s);
        CHECK_FALSE(w.path.loses(w.now));
        link_facts fresh;
        fresh.number = 9;
        fresh.retransmits = 1;
        w.links.push_back(fresh);
        w.look(1s);
        CHECK(w.path.loses(w.now));
    }
    SECTION("has the least round trip of its links, of those that have one") {
        CHECK(w.path.rtt_min() == 100ms);
        w.links[1].rtt_min = 30ms;
        w.links[0].rtt_min = 0ms;
        w.look(1s);
        CHECK(w.path.rtt_min() == 30ms);
        w.links.clear();
        w.look(1s);
        CHECK(w.path.rtt_min() == 0ms);
    }
    SECTION("carries what all links together sent at most in the last minute") {
        w.links[0].sent_bytes_per_second = 1000;
        w.links[1].sent_bytes_per_second = 500;
        w.look(1s);
        w.links[0].sent_bytes_per_second = 100;
        for (int i = 0; i < 29; ++i)
            w.look(1s);
        CHECK(w.path.bytes_per_second() == 1500);
        for (int i = 0; i < 62; ++i)
            w.look(1s);
        CHECK(w.path.bytes_per_second() == 600);
    }
    SECTION("has carried nothing after a long silence") {
        w.links[0].sent_bytes_per_second = 1000;
        w.look(1s);
        w.links[0].sent_bytes_per_second = 0;
        w.look(10min);
        CHECK(w.path.bytes_per_second() == 0);
    }
}
