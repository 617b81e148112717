#include "protocol/replay_buffer.hpp"

#include "protocol/frame.hpp"
#include "tests/catch.hpp"
#include "tests/vectors/seed.hpp"

#include <map>
#include <string>

using namespace muxsocks;
using namespace std::chrono_literals;
using muxsocks::tests::test_seed;

namespace {

constexpr std::size_t chunk_size = 1'024;
constexpr instant start{1h};

struct bench {
    explicit bench(replay_limits limits, std::size_t memory = 1 << 20)
        : account(memory, nullptr), buffer(pool, account, limits) {
        buffer.keep(true);
    }
    chunk_pool pool{chunk_size};
    memory_account account;
    replay_buffer buffer;

    /// One turn with a DATA frame of the number that it takes, after an uncounted one. False if
    /// there was no room.
    bool lay(std::size_t payload, bool with_control = false) {
        auto area = buffer.open(true, false);
        if (!area.counted || area.rst_only) {
            buffer.close(area, area.begin, 0);
            return false;
        }
        auto at = area.begin;
        const auto frame = [&](std::uint8_t flags, std::size_t size) {
            REQUIRE(at + frame_header_size + size <= area.end);
            encode_header(area.chunk.data() + at,
                          {static_cast<std::uint32_t>(buffer.sent_frames() + 1), flags,
                           static_cast<std::uint16_t>(size)});
            at += frame_header_size + size;
        };
        if (with_control) frame(flag::ctrl, 9);
        frame(flag::data, std::min(payload, area.end - at - frame_header_size));
        buffer.close(area, at, 1);
        return true;
    }
    bool lay_rst() {
        auto area = buffer.open(true, true);
        if (!area.counted) {
            buffer.close(area, area.begin, 0);
            return false;
        }
        encode_header(area.chunk.data() + area.begin, {1, flag::rst, 4});
        buffer.close(area, area.begin + frame_header_size + 4, 1);
        return true;
    }
    /// The numbers of all frames that are sent again; none of them may be a control frame.
    std::vector<std::uint32_t> replay(std::size_t size_max = chunk_size) {
        std::vector<std::uint32_t> numbers;
        while (buffer.replaying()) {
            chunk_ref keep;
            auto bytes = buffer.next_replay(size_max, keep);
            REQUIRE(!bytes.empty());
            while (!bytes.empty()) {
                const auto header = decode_header(bytes.data());
                REQUIRE(is_counted(header.flags));
                numbers.push_back(header.stream_id);
                bytes = bytes.subspan(frame_header_size + header.length);
            }
        }
        return numbers;
    }
};

std::vector<std::uint32_t> counting(std::uint32_t first, std::uint32_t last) {
    std::vector<std::uint32_t> numbers;
    for (auto i = first; i <= last; ++i)
        numbers.push_back(i);
    return numbers;
}

} // namespace

TEST_CASE("a replay buffer") {
    bench b({4 * chunk_size, 16 * chunk_size, 64});

    SECTION("holds nothing before anything was sent") {
        CHECK(b.buffer.held() == 0);
        CHECK(b.buffer.empty());
        CHECK(b.account.charged() == 0);
    }
    SECTION("charges whole chunks, and gives them back with their last frame") {
        for (int i = 0; i < 6; ++i)
            REQUIRE(b.lay(300));
        CHECK(b.buffer.held() == 2 * chunk_size);
        CHECK(b.account.charged() == 2 * chunk_size);
        CHECK(b.buffer.on_ack(2));
        CHECK(b.buffer.held() == 2 * chunk_size);
        CHECK(b.buffer.on_ack(3));
        CHECK(b.buffer.held() == chunk_size);
        CHECK(b.buffer.on_ack(6));
        CHECK(b.buffer.held() == 0);
        CHECK(b.account.charged() == 0);
        CHECK(b.buffer.empty());
    }
    SECTION("refuses an ACK of what was never sent, and forgives an old one") {
        REQUIRE(b.lay(300));
        CHECK_FALSE(b.buffer.on_ack(2));
        CHECK(b.buffer.on_ack(1));
        CHECK(b.buffer.on_ack(0));
        CHECK(b.buffer.acked_frames() == 1);
    }
    SECTION("charges nothing for a turn without counted frames") {
        const auto area = b.buffer.open(true, false);
        CHECK(b.account.charged() == chunk_size);
        b.buffer.close(area, area.begin + 100, 0);
        CHECK(b.account.charged() == 0);
        CHECK(b.buffer.held() == 0);
    }
    SECTION("lays turns one behind the other, never over one that may still be held") {
        REQUIRE(b.lay(100));
        const auto counted = b.buffer.open(true, false);
        b.buffer.close(counted, counted.begin + 16, 0); // A control frame, and nothing else.
        const auto next = b.buffer.open(true, false);
        CHECK(next.begin == counted.begin + 16);
        b.buffer.close(next, next.begin, 0);
        const auto control = b.buffer.open(false, false);
        CHECK_FALSE(control.chunk == next.chunk);
        b.buffer.close(control, control.begin + 16, 0);
    }
    SECTION("keeps nothing for a session that cannot be resumed") {
        b.buffer.keep(false);
        for (int i = 0; i < 100; ++i)
            REQUIRE(b.lay(300));
        CHECK(b.buffer.held() == 0);
        CHECK(b.account.charged() == 0);
        CHECK(b.buffer.empty());
        CHECK(b.buffer.sent_frames() == 100);
    }
}

TEST_CASE("a full replay buffer") {
    bench b({2 * chunk_size, 8 * chunk_size, 22});
    while (b.lay(300)) {
    }
    REQUIRE(b.buffer.held() == 2 * chunk_size);

    SECTION("has no room for DATA") { CHECK_FALSE(b.buffer.has_room()); }
    SECTION("has some on top for RST, and then none") {
        CHECK(b.lay_rst());
        CHECK(b.lay_rst());
        CHECK_FALSE(b.lay_rst());
        CHECK(b.buffer.held() == 3 * chunk_size);
        CHECK_FALSE(b.lay(1));
    }
    SECTION("has room for both again after an ACK") {
        REQUIRE(b.lay_rst());
        REQUIRE(b.lay_rst());
        REQUIRE(b.buffer.on_ack(b.buffer.sent_frames()));
        CHECK(b.lay(300));
        CHECK(b.lay_rst());
    }
    SECTION("doubles, at most once a round trip, up to its maximum") {
        CHECK(b.buffer.grow(start, 100ms));
        CHECK(b.buffer.has_room());
        CHECK_FALSE(b.buffer.grow(start + 1s, 100ms)); // It has room.
        while (b.lay(300)) {
        }
        CHECK(b.buffer.held() == 4 * chunk_size);
        CHECK_FALSE(b.buffer.grow(start + 99ms, 100ms));
        CHECK(b.buffer.grow(start + 100ms, 100ms));
        while (b.lay(300)) {
        }
        CHECK(b.buffer.held() == 8 * chunk_size);
        CHECK_FALSE(b.buffer.grow(start + 1h, 100ms));
    }
}

TEST_CASE("a replay buffer within its session's memory") {
    SECTION("gets a first chunk whatever the bounds") {
        bench b({4 * chunk_size, 4 * chunk_size, 64}, 10);
        CHECK(b.lay(300));
        CHECK(b.account.charged() == chunk_size);
    }
    SECTION("gets no second one above them") {
        bench b({4 * chunk_size, 4 * chunk_size, 64}, chunk_size + 10);
        while (b.lay(300)) {
        }
        CHECK(b.buffer.held() == chunk_size);
        CHECK(b.buffer.on_ack(b.buffer.sent_frames()));
        CHECK(b.lay(300));
    }
}

TEST_CASE("replay") {
    bench b({64 * chunk_size, 64 * chunk_size, 64});
    for (int i = 1; i <= 20; ++i)
        REQUIRE(b.lay(250, i % 2 == 0));

    SECTION("begins behind what the peer has received") {
        CHECK(b.buffer.start_replay(7) == 8);
        CHECK(b.replay() == counting(8, 20));
    }
    SECTION("begins behind what was acknowledged, if that is more") {
        REQUIRE(b.buffer.on_ack(11));
        CHECK(b.buffer.start_replay(7) == 12);
        CHECK(b.replay() == counting(12, 20));
    }
    SECTION("sends everything when nothing has arrived") {
        CHECK(b.buffer.start_replay(0) == 1);
        CHECK(b.replay() == counting(1, 20));
    }
    SECTION("has nothing to do when everything has arrived") {
        CHECK(b.buffer.start_replay(20) == 21);
        CHECK_FALSE(b.buffer.replaying());
        CHECK(b.buffer.held() == 0);
    }
    SECTION("takes what the peer has received for acknowledged") {
        b.buffer.start_replay(7);
        CHECK(b.buffer.acked_frames() == 7);
    }
    SECTION("gives stretches of at most the size, or one frame") {
        b.buffer.start_replay(0);
        chunk_ref keep;
        CHECK(b.buffer.next_replay(300, keep).size() == 257);
        CHECK(b.buffer.next_replay(10, keep).size() == 257);
        b.buffer.stop_replay();
    }
    SECTION("leaves out no frame that is acknowledged while it runs") {
        // Numbers are implicit: the peer counts on from where it began.
        b.buffer.start_replay(2);
        chunk_ref keep;
        b.buffer.next_replay(10, keep);
        REQUIRE(b.buffer.on_ack(12));
        CHECK(b.replay() == counting(4, 20));
        CHECK(b.buffer.held() <= 3 * chunk_size); // Only what is above 12 stays.
    }
    SECTION("goes on when an ACK frees just the chunk that was sent") {
        // Three frames, or two with control frames between, fill a chunk.
        b.buffer.start_replay(0);
        chunk_ref keep;
        std::uint32_t sent = 0;
        while (b.buffer.replaying()) {
            const auto bytes = b.buffer.next_replay(10, keep);
            CHECK(decode_header(bytes.data()).stream_id == ++sent);
            REQUIRE(b.buffer.on_ack(sent));
        }
        CHECK(sent == 20);
        CHECK(b.buffer.held() == 0);
    }
    SECTION("can be broken off and begun again") {
        b.buffer.start_replay(3);
        chunk_ref keep;
        b.buffer.next_replay(chunk_size, keep);
        b.buffer.stop_replay();
        CHECK_FALSE(b.buffer.replaying());
        CHECK(b.buffer.start_replay(4) == 5);
        CHECK(b.replay() == counting(5, 20));
    }
    SECTION("is over when the buffer is cleared") {
        b.buffer.start_replay(3);
        b.buffer.clear();
        CHECK_FALSE(b.buffer.replaying());
        CHECK(b.buffer.held() == 0);
        CHECK(b.account.charged() == 0);
    }
}

TEST_CASE("replay by chance") {
    std::mt19937 random{test_seed()};
    for (int round = 0; round < 300; ++round) {
        bench b({8 * chunk_size, 16 * chunk_size, 64});
        std::uint64_t received = 0;
        for (int step = 0; step < 60; ++step) {
            switch (random() % 4) {
            case 0:
            case 1:
                b.lay(random() % 900, random() % 2 == 0);
                break;
            case 2:
                received += random() % (b.buffer.sent_frames() - received + 1);
                REQUIRE(b.buffer.on_ack(received - random() % (received + 1)));
                break;
            default: {
                const auto first = b.buffer.start_replay(received);
                REQUIRE(first == std::max(received, b.buffer.acked_frames()) + 1);
                auto expected = first;
                while (b.buffer.replaying() && random() % 8 != 0) {
                    chunk_ref keep;
                    auto bytes = b.buffer.next_replay(random() % 1'000, keep);
                    while (!bytes.empty()) {
                        const auto header = decode_header(bytes.data());
                        REQUIRE(header.stream_id == expected++);
                        bytes = bytes.subspan(frame_header_size + header.length);
                    }
                    if (random() % 2 == 0) REQUIRE(b.buffer.on_ack(expected - 1));
                }
                if (!b.buffer.replaying()) REQUIRE(expected == b.buffer.sent_frames() + 1);
                b.buffer.stop_replay();
                received = std::max(received, expected - 1);
            }
            }
            REQUIRE(b.buffer.held() == b.account.charged());
        }
        REQUIRE(b.buffer.on_ack(b.buffer.sent_frames()));
        REQUIRE(b.buffer.held() == 0);
    }
}
