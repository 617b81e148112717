#include "protocol/session/bulk_watch.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <memory>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

/// Streams that are looked at four times a second.
struct looked_at {
    stream_table table;
    std::vector<std::unique_ptr<stream>> streams;
    bulk_watch watch;
    instant now = instant(1h);
    stream_facts facts;
    std::vector<stream*> changed;

    stream& add() {
        streams.push_back(std::make_unique<stream>(1U << 30, 1U << 30));
        streams.back()->id = static_cast<std::uint32_t>(2 * streams.size() - 1);
        table.insert(*streams.back());
        return *streams.back();
    }
    void look(std::uint32_t bulk_bytes = bulk_meter::usual_bytes) {
        now += 250ms;
        changed.clear();
        facts = watch.look(table, now, bulk_bytes, changed);
    }
    template <typename Function>
    void run(duration time, Function each, std::uint32_t bulk_bytes = bulk_meter::usual_bytes) {
        for (const auto end = now + time; now < end;) {
            each();
            look(bulk_bytes);
        }
    }
};

} // namespace

TEST_CASE("streams that are looked at") {
    looked_at l;
    auto& first = l.add();
    auto& second = l.add();

    SECTION("are others while they move little") {
        l.run(10s, [&] { first.send.on_sent(20'000); });
        CHECK_FALSE(first.bulk);
        CHECK((l.facts.bulk_out == 0 && l.facts.bulk_in == 0 && l.facts.others == 2));
    }
    SECTION("are bulk when they send a mebibyte in two seconds, and the change is told once") {
        std::size_t told = 0;
        l.run(3s, [&] {
            first.send.on_sent(200'000);
            told += l.changed.size();
        });
        CHECK(first.bulk);
        CHECK_FALSE(second.bulk);
        CHECK(told == 1);
        CHECK((l.facts.bulk_out == 1 && l.facts.bulk_in == 0 && l.facts.others == 1));
        SECTION("until they have been quiet for two seconds") {
            l.run(1s, [] {});
            CHECK(first.bulk);
            l.run(2s, [] {});
            CHECK_FALSE(first.bulk);
            CHECK(l.facts.others == 2);
        }
        SECTION("until they end") {
            l.table.erase(first);
            l.look();
            CHECK((l.facts.bulk_out == 0 && l.facts.others == 1));
        }
    }
    SECTION("are bulk from a surge on, and for two seconds, whether they had a meter or not") {
        l.run(1s, [&] { first.send.on_sent(20'000); });
        for (const auto each : {&first, &second}) {
            l.watch.on_surge(*each, l.now);
            CHECK(each->bulk);
        }
        l.run(1500ms, [] {});
        CHECK((first.bulk && second.bulk));
        CHECK((l.facts.bulk_out == 2 && l.facts.others == 0));
        l.run(1s, [] {});
        CHECK_FALSE((first.bulk || second.bulk));
        CHECK(l.facts.others == 2);
    }
    SECTION("are bulk no more once they are quiet, where they have come so from another process") {
        first.bulk = true;
        l.run(3s, [] {});
        CHECK_FALSE(first.bulk);
    }
    SECTION("count when they receive as much, which changes nothing in how they send") {
        l.run(3s, [&] { first.recv.on_received(200'000); });
        CHECK_FALSE(first.bulk);
        CHECK((l.facts.bulk_out == 0 && l.facts.bulk_in == 1 && l.facts.others == 1));
    }
    SECTION("are bulk on a slow line when they wait for it") {
        first.queued = stream::queue::bulk_round;
        l.run(3s, [&] { first.send.on_sent(20'000); });
        CHECK(first.bulk);
        first.queued = stream::queue::none;
        l.run(3s, [] {});
        CHECK_FALSE(first.bulk);
    }
    SECTION("are bulk with less where less is asked for") {
        l.run(
            3s, [&] { first.send.on_sent(20'000); }, 100'000);
        CHECK(first.bulk);
    }
}
