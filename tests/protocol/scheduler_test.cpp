#include "protocol/session/scheduler.hpp"

#include "tests/catch.hpp"

#include <deque>
#include <map>

using namespace muxsocks;

namespace {

/// Streams, and a sender that serves them as a session does.
struct bench {
    std::deque<stream> streams;
    scheduler turn;

    stream& add() {
        auto& s = streams.emplace_back(0, 0);
        s.id = static_cast<std::uint32_t>(streams.size());
        turn.add(s);
        return s;
    }
    /// One visit: `bytes` at most, and whether the stream has more to send.
    std::uint32_t visit(std::uint32_t bytes, bool more, std::uint32_t* sent = nullptr) {
        auto& s = turn.next();
        const auto part = std::min(bytes, turn.quantum());
        turn.on_sent(s, part);
        if (sent) *sent = part;
        if (more) turn.add(s);
        return s.id;
    }
};

constexpr std::uint32_t endless = 1 << 30;

} // namespace

TEST_CASE("a list of ready streams") {
    std::deque<stream> streams;
    for (int i = 0; i < 4; ++i)
        streams.emplace_back(0, 0);
    ready_list list;
    for (auto& s : streams)
        list.push(s);

    SECTION("is first in, first out") {
        for (auto& s : streams)
            CHECK(&list.pop() == &s);
        CHECK(list.empty());
    }
    SECTION("gives up its first, its last and one between") {
        list.remove(streams[0]);
        list.remove(streams[2]);
        list.remove(streams[3]);
        CHECK(list.single());
        list.push(streams[0]);
        CHECK(&list.pop() == &streams[1]);
        CHECK(&list.pop() == &streams[0]);
        CHECK(list.empty());
        list.push(streams[2]);
        CHECK(list.front() == &streams[2]);
    }
}

TEST_CASE("the scheduler") {
    bench all;
    SECTION("is empty without streams") { CHECK(all.turn.empty()); }
    SECTION("gives a stream that is alone 64 KiB a visit, contended ones 16 KiB") {
        all.add();
        std::uint32_t sent = 0;
        all.visit(endless, true, &sent);
        CHECK(sent == 65'508);
        all.add();
        all.visit(endless, true, &sent);
        CHECK(sent == 16'377);
    }
    SECTION("gives more a visit on a fast link") {
        all.add();
        all.add();
        std::uint32_t sent = 0;
        all.turn.on_rate(scheduler::brisk_bytes_per_second);
        all.visit(endless, true, &sent);
        CHECK(sent == 32'754);
        all.turn.on_rate(scheduler::fast_bytes_per_second);
        all.visit(endless, true, &sent);
        CHECK(sent == 131'016);
        all.turn.on_rate(1'000);
        all.visit(endless, true, &sent);
        CHECK(sent == 16'377);
    }
    SECTION("serves bulk streams alike") {
        std::map<std::uint32_t, std::uint64_t> bytes;
        for (int i = 0; i < 10; ++i)
            all.add();
        for (int i = 0; i < 1'000; ++i) {
            std::uint32_t sent = 0;
            const auto id = all.visit(endless, true, &sent);
            bytes[id] += sent;
        }
        for (const auto& [id, sent] : bytes)
            CHECK(sent == 100 * 16'377);
    }
    SECTION("serves a stream that was idle before all bulk streams") {
        for (int i = 0; i < 10; ++i)
            all.add();
        for (int i = 0; i < 35; ++i)
            all.visit(endless, true);
        const auto& fresh = all.add();
        CHECK(all.visit(100, false) == fresh.id);
    }
    SECTION("lets such a stream go first only for one quantum a round") {
        for (int i = 0; i < 4; ++i)
            all.add();
        for (int i = 0; i < 8; ++i)
            all.visit(endless, true);
        const auto& fresh = all.add();
        CHECK(all.visit(endless, true) == fresh.id);
        CHECK(all.visit(endless, true) != fresh.id);
    }
    SECTION("keeps a stream that sends little in front, round after round") {
        // Though it has sent more than a quantum in sum.
        auto& little = all.add();
        for (int i = 0; i < 3; ++i)
            all.add();
        all.visit(1'000, false);
        for (int round = 0; round < 100; ++round) {
            for (int i = 0; i < 4; ++i)
                CHECK(all.visit(endless, true) != little.id);
            all.turn.add(little);
            CHECK(all.visit(1'000, false) == little.id);
        }
    }
    SECTION("still counts rounds when the stream that began one is quiet") {
        auto& little = all.add();
        all.visit(1'000, false);
        for (int i = 0; i < 3; ++i)
            all.add();
        for (int i = 0; i < 4; ++i)
            all.visit(endless, true);
        all.visit(endless, false); // Whichever it is: it may be the one that began the round.
        for (int round = 0; round < 100; ++round) {
            for (int i = 0; i < 4; ++i)
                all.visit(endless, true);
            all.turn.add(little);
            CHECK(all.visit(1'000, false) == little.id);
        }
    }
    SECTION("forgets streams that end, whichever they are") {
        for (int i = 0; i < 5; ++i)
            all.add();
        for (int i = 0; i < 7; ++i)
            all.visit(endless, true);
        for (auto& s : all.streams)
            all.turn.remove(s);
        CHECK(all.turn.empty());
        const auto& last = all.add();
        CHECK(all.visit(endless, false) == last.id);
    }
    SECTION("lists a stream once") {
        auto& s = all.add();
        all.turn.add(s);
        all.visit(endless, false);
        CHECK(all.turn.empty());
    }
}
