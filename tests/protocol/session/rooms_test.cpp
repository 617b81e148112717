// The small rooms: pieces, ids, numbers of links, receipts, the clock of attached time.

#include "protocol/session/attached_clock.hpp"
#include "protocol/session/link_set.hpp"
#include "protocol/session/pieces.hpp"
#include "protocol/session/receipts.hpp"
#include "protocol/session/stream_ids.hpp"
#include "tests/catch.hpp"
#include "tests/sim/random.hpp"

#include <set>

namespace muxsocks::tests {

using namespace std::chrono_literals;

namespace {

bytes_view bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string take_from(pieces& from, std::uint64_t offset) {
    std::string all;
    for (pieces::bytes piece; from.take(offset, piece); offset += piece.size())
        all.append(piece.begin(), piece.end());
    return all;
}

} // namespace

TEST_CASE("of each frame beyond a gap only bytes that are not held are kept") {
    pieces beyond;
    CHECK(beyond.empty());
    CHECK(beyond.add(10, bytes_of("klmno")) == 5);
    SECTION("whole again") { CHECK(beyond.add(10, bytes_of("klmno")) == 0); }
    SECTION("in front") { CHECK(beyond.add(8, bytes_of("ijkl")) == 2); }
    SECTION("behind") { CHECK(beyond.add(13, bytes_of("nopq")) == 2); }
    SECTION("on both sides") { CHECK(beyond.add(8, bytes_of("ijklmnopq")) == 4); }
    SECTION("over a hole between two") {
        CHECK(beyond.add(20, bytes_of("uv")) == 2);
        CHECK(beyond.add(12, bytes_of("mnopqrstuvw")) == 6);
    }
}

TEST_CASE("pieces come out in order and without what is known") {
    pieces beyond;
    beyond.add(5, bytes_of("fgh"));
    beyond.add(8, bytes_of("ij"));
    beyond.add(12, bytes_of("mn"));
    CHECK(beyond.size() == 7);
    CHECK(beyond.cost() == 2 * pieces::cost_min); // Neighbours are one.
    pieces::bytes piece;
    CHECK_FALSE(beyond.take(4, piece));
    CHECK(take_from(beyond, 6) == "ghij");
    CHECK(take_from(beyond, 12) == "mn");
    CHECK(beyond.empty());
    CHECK(beyond.cost() == 0);
}

TEST_CASE("random overlapping pieces give each byte once") {
    muxsocks::sim::random_source random(42);
    for (int run = 0; run < 300; ++run) {
        pieces beyond;
        std::string whole;
        for (int i = 0; i < 200; ++i)
            whole += static_cast<char>('a' + i % 26);
        std::set<std::size_t> held;
        for (int i = 0; i < 60; ++i) {
            const auto from = random.below(whole.size());
            const auto part = std::string_view(whole).substr(from, random.between(1, 20));
            const auto before = held.size();
            for (std::size_t at = from; at < from + part.size(); ++at)
                held.insert(at);
            CHECK(beyond.add(from, bytes_of(part)) == held.size() - before);
        }
        CHECK(beyond.size() == held.size());
        std::uint64_t offset = 0;
        std::size_t taken = 0;
        while (!held.empty()) {
            offset = std::max<std::uint64_t>(offset, *held.begin());
            const auto run_bytes = take_from(beyond, offset);
            REQUIRE(!run_bytes.empty());
            CHECK(run_bytes == whole.substr(offset, run_bytes.size()));
            for (std::size_t at = offset; at < offset + run_bytes.size(); ++at)
                taken += held.erase(at);
            offset += run_bytes.size();
        }
        CHECK(beyond.empty());
        CHECK(taken > 0);
    }
}

TEST_CASE("ids are fresh, missing, or known for ever") {
    using standing = stream_ids::standing;
    stream_ids ids(false);
    CHECK(ids.look(2) == standing::fault);
    CHECK(ids.look(1) == standing::fresh);
    CHECK(ids.gap(1) == 0);
    ids.use(1);
    CHECK(ids.look(1) == standing::known);
    CHECK(ids.gap(11) == 4);
    ids.use(11);
    CHECK(ids.missing() == 4);
    for (const std::uint32_t id : {3, 5, 7, 9})
        CHECK(ids.look(id) == standing::missing);
    ids.use(7); // From the middle of a run.
    CHECK(ids.look(7) == standing::known);
    CHECK(ids.look(5) == standing::missing);
    CHECK(ids.look(9) == standing::missing);
    for (const std::uint32_t id : {9, 3, 5})
        ids.use(id);
    CHECK(ids.missing() == 0);
    CHECK(ids.look(3) == standing::known);
    CHECK(ids.look(13) == standing::fresh);
}

TEST_CASE("a client's closed stream takes a place until all its frames are acknowledged") {
    stream_ids ids(true);
    CHECK(ids.take() == 1);
    CHECK(ids.look(1) == stream_ids::standing::known);
    CHECK(ids.look(3) == stream_ids::standing::fault);
    CHECK(ids.look(2) == stream_ids::standing::fault);
    ids.close_later(1, 1);
    ids.on_frame_copied(1);
    CHECK_FALSE(ids.on_frame_acked(1));
    CHECK(ids.closing() == 1);
    CHECK(ids.on_frame_acked(1));
    CHECK(ids.closing() == 0);
    CHECK_FALSE(ids.on_frame_acked(1));
}

TEST_CASE("numbers of links are used once") {
    used_numbers used;
    CHECK(used.contains(0));
    CHECK_FALSE(used.contains(1));
    used.use(3);
    CHECK(used.contains(3));
    CHECK_FALSE(used.contains(2));
    CHECK_FALSE(used.contains(4));
    CHECK(used.contains(0));
    used.use(2);
    CHECK(used.contains(2));
    CHECK_FALSE(used.contains(1));
    SECTION("those far below the highest are as good as used") {
        used.use(66);
        CHECK_FALSE(used.contains(65));
        CHECK(used.contains(3));
        CHECK(used.contains(1)); // 65 below.
        used.use(200);
        CHECK_FALSE(used.contains(136));
        CHECK(used.contains(135));
    }
    SECTION("at exactly 64 below") {
        used.use(67);
        CHECK(used.contains(3));
        CHECK_FALSE(used.contains(4));
    }
}

TEST_CASE("an acknowledgement is due after 128 KiB or 20 ms") {
    const instant now{1h};
    receipts brought;
    CHECK_FALSE(brought.has_news());
    brought.on_frame(100, now);
    CHECK_FALSE(brought.ack_due());
    CHECK(brought.deadline() == now + 20ms);
    SECTION("by time") {
        brought.on_deadline(now + 19ms);
        CHECK_FALSE(brought.ack_due());
        brought.on_deadline(now + 20ms);
        CHECK(brought.ack_due());
    }
    SECTION("by bytes") {
        brought.on_frame(receipts::ack_after_bytes, now);
        CHECK(brought.ack_due());
    }
    CHECK(brought.has_news());
    brought.on_ack_laid();
    CHECK_FALSE(brought.has_news());
    CHECK_FALSE(brought.deadline());
}

TEST_CASE("time counts only with a link") {
    const instant now{1h};
    attached_clock clock;
    clock.start(now);
    clock.set(1, 10s, now);
    CHECK(clock.deadline() == now + 10s);
    clock.stop(now + 4s);
    CHECK_FALSE(clock.deadline());
    CHECK_FALSE(clock.next_due(now + 1h));
    clock.start(now + 1h);
    CHECK(clock.deadline() == now + 1h + 6s);
    CHECK(clock.next_due(now + 1h + 6s) == 1U);
    CHECK_FALSE(clock.next_due(now + 2h));
}

} // namespace muxsocks::tests
