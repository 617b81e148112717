#include "protocol/session/kept_frames.hpp"

#include "protocol/session/resend_queue.hpp"
#include "tests/catch.hpp"
#include "tests/protocol/session/lone.hpp"

#include <array>

namespace muxsocks::tests {

namespace {

struct kept_room {
    chunk_pool pool{4096};
    memory_account account{64 * 1024, nullptr};
    kept_memory memory{pool, account};
    kept_frames kept{memory, {8192, 16'384, 256}, true};
    lines acked;

    void lay(kept_frames& on, const octets& frames, std::uint64_t count) {
        const auto where = on.open(true, false);
        REQUIRE(where.kept);
        std::copy(frames.begin(), frames.end(), where.chunk.data() + where.begin);
        on.close(where, where.begin + frames.size(), count);
    }
    auto note() {
        return [this](bytes_view frame) { acked.push_back(text_of(frame)); };
    }
};

} // namespace

TEST_CASE_METHOD(kept_room, "kept frames are counted, and given up as they are acknowledged") {
    lay(kept, data(1, 0, "a") + ack(9) + data(1, 1, "b"), 2);
    lay(kept, rst(1), 1);
    CHECK(kept.sent() == 3);
    CHECK(account.charged() == 4096); // One chunk, filled further.
    CHECK(kept.on_ack(2, note()));
    CHECK(acked == lines{"DATA 1 @0 a", "DATA 1 @1 b"});
    CHECK_FALSE(kept.on_ack(4, note()));
    CHECK(kept.on_ack(1, note())); // An older one says nothing.
    CHECK(kept.on_ack(3, note()));
    CHECK(kept.empty());
    CHECK(account.charged() == 0);
}

TEST_CASE_METHOD(kept_room, "what a lost link had goes by another, unchanged") {
    lay(kept,
        data(1, 0, "first") + ack(9) + data(3, 0, std::string(1500, 'x')) +
            data(3, 1500, std::string(1500, 'y')),
        3);
    resend_queue again(memory);
    CHECK(kept.on_ack(1, note()));
    kept.give_up([&](const stretch& frame) { again.add(frame); }, note());
    CHECK(kept.empty());
    CHECK(again.frames() == 2);
    CHECK(account.charged() == 4096); // Still kept.
    kept_frames other(memory, {8192, 16'384, 256}, true);
    SECTION("cut only between frames") {
        const auto one = again.take_bulk(1600);
        CHECK(one.frames == 1);
        other.carry(one);
        again.forget(one);
        const auto two = again.take_bulk(1600);
        other.carry(two);
        again.forget(two);
        CHECK(two.frames == 1);
    }
    SECTION("together") {
        const auto both = again.take_bulk(4096);
        CHECK(both.frames == 2);
        other.carry(both);
        again.forget(both);
    }
    CHECK(again.empty());
    CHECK(other.sent() == 2);
    CHECK(account.charged() == 4096);
    acked.clear();
    CHECK(other.on_ack(2, note()));
    CHECK(acked.size() == 2);
    CHECK(account.charged() == 0);
}

TEST_CASE_METHOD(kept_room, "small frames of a lost link are apart from bulk") {
    lay(kept, data(1, 0, "key") + data(3, 0, std::string(2000, 'x')) + rst(5), 3);
    resend_queue again(memory);
    kept.give_up([&](const stretch& frame) { again.add(frame); }, note());
    CHECK(again.has_bulk());
    CHECK(text_of(again.front_small()) == "DATA 1 @0 key");
    again.pop_small();
    CHECK(text_of(again.front_small()) == "RST 5 code 2");
    again.pop_small();
    CHECK_FALSE(again.has_small());
    again.clear();
    CHECK(account.charged() == 0);
}

TEST_CASE_METHOD(kept_room, "frames of a lost link keep their numbers, whatever they lie behind") {
    const std::string much(1300, 'x');
    lay(kept, data(1, 0, much) + data(1, 1300, much) + data(1, 2600, much), 3);
    resend_queue again(memory);
    // The third of the link was the fifth there, as when small ones between are in their own list.
    constexpr std::array<std::uint64_t, 3> numbers{2, 3, 5};
    std::size_t next = 0;
    kept.give_up([&](const stretch& frame) { again.add(frame, {7, numbers[next++]}); }, note());
    again.on_processed(7, 4, note());
    CHECK(acked.size() == 2);
    CHECK(again.frames() == 1);
    const auto left = again.take_bulk(4096);
    CHECK(text_of(left.bytes()).starts_with("DATA 1 @2600 "));
    again.forget(left);
    CHECK(account.charged() == 0);
}

TEST_CASE_METHOD(kept_room,
                 "a doubted link's frames are copied once, and not sent again when it is lost") {
    lay(kept, data(1, 0, "a"), 1);
    std::size_t copies = 0;
    kept.copy_once([&](const stretch&) { ++copies; });
    kept.copy_once([&](const stretch&) { ++copies; });
    CHECK(copies == 1);
    lay(kept, data(1, 1, "b"), 1);
    std::size_t again = 0;
    kept.give_up([&](const stretch&) { ++again; }, note());
    CHECK(again == 1);
    CHECK(acked == lines{"DATA 1 @0 a"});
}

TEST_CASE_METHOD(kept_room, "a full link gives no room but for RST, and grows once a round trip") {
    for (int i = 0; i < 2; ++i)
        lay(kept, data(1, 0, std::string(3500, 'x')), 1);
    CHECK_FALSE(kept.has_room());
    CHECK_FALSE(kept.open(true, false).kept);
    const auto where = kept.open(true, true);
    CHECK(where.kept);
    CHECK(where.rst_only);
    kept.close(where, where.begin, 0);
    const instant now{std::chrono::hours(1)};
    const auto rtt = std::chrono::milliseconds(10);
    SECTION("when half of its bound was acknowledged") {
        CHECK(kept.on_ack(1, note()));
        lay(kept, data(1, 0, std::string(3500, 'x')), 1);
        CHECK_FALSE(kept.has_room());
        CHECK(kept.grow(now, rtt));
        CHECK(kept.has_room());
        lay(kept, data(1, 0, std::string(3500, 'x')), 1);
        lay(kept, data(1, 0, std::string(3500, 'x')), 1);
        CHECK_FALSE(kept.grow(now + 2 * rtt, rtt)); // Nothing more was since.
    }
    SECTION("not for a peer that acknowledges nothing") {
        CHECK_FALSE(kept.grow(now, rtt));
        CHECK_FALSE(kept.has_room());
    }
    kept.clear();
    CHECK(account.charged() == 0);
}

TEST_CASE_METHOD(kept_room, "where nothing is kept a frame is acknowledged when it has been sent") {
    kept.keep(false);
    lay(kept, data(1, 0, "a"), 1);
    CHECK(kept.empty());
    CHECK(account.charged() == 0);
}

} // namespace muxsocks::tests
