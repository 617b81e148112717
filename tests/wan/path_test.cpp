#include "tests/tools/wan/path.hpp"

#include "tests/catch.hpp"

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

using namespace muxsocks::tools;
using namespace std::chrono_literals;

namespace {

/// A path and its clock; packets are numbered by their first byte.
struct scripted_path {
    packet_pool pool;
    path way{pool, 7};
    time_point now{1h};

    void send(std::size_t size, std::uint8_t number = 0) {
        packet_ptr fresh = pool.take();
        fresh->size = size;
        fresh->storage[0] = number;
        way.on_packet(std::move(fresh), now);
    }

    /// The numbers of all packets that are due.
    std::vector<int> receive() {
        std::vector<int> numbers;
        while (packet_ptr due = way.next_due(now)) {
            numbers.push_back(due->storage[0]);
            pool.give_back(std::move(due));
        }
        return numbers;
    }

    std::vector<int> receive_at(duration after) {
        const time_point back = std::exchange(now, now + after);
        auto numbers = receive();
        now = back;
        return numbers;
    }
};

using numbers = std::vector<int>;

} // namespace

TEST_CASE("a path with a delay") {
    scripted_path path;
    path.way.settings.delay = 50ms;
    path.send(100, 1);

    SECTION("delivers when the delay is over and not before") {
        CHECK(path.way.next_time() == path.now + 50ms);
        CHECK(path.receive_at(50ms - 1us).empty());
        CHECK(path.receive_at(50ms) == numbers{1});
        CHECK(path.way.next_time() == std::nullopt);
    }
    SECTION("keeps the order") {
        path.send(100, 2);
        path.send(100, 3);
        CHECK(path.receive_at(1s) == numbers{1, 2, 3});
    }
    SECTION("lets later packets overtake when the delay becomes shorter") {
        path.way.settings.delay = 10ms;
        path.send(100, 2);
        CHECK(path.receive_at(10ms) == numbers{2});
        CHECK(path.receive_at(50ms) == numbers{1});
    }
}

TEST_CASE("a path with a rate") {
    scripted_path path;
    path.way.settings.bytes_per_second = 9000 / 8; // 9 kbit/s
    path.way.settings.queue_bytes = 10000;

    SECTION("takes a packet's size over the rate for it") {
        path.send(1125, 1);
        path.send(1125, 2);
        CHECK(path.receive_at(999ms).empty());
        CHECK(path.receive_at(1000ms) == numbers{1});
        CHECK(path.receive_at(1999ms).empty());
        CHECK(path.receive_at(2000ms) == numbers{2});
    }
    SECTION("is as exact when it is looked at late") {
        path.way.settings.delay = 10s;
        path.send(1125, 1);
        path.now += 5s; // the first was through after one, so this one begins now
        path.send(1125, 2);
        path.now += 100s;
        path.send(1125, 3);
        CHECK(path.receive() == numbers{1, 2});
        CHECK(path.way.next_time() == path.now + 11s);
    }
    SECTION("saves nothing up while it is idle") {
        path.now += 60s;
        path.send(1125, 1);
        CHECK(path.receive_at(999ms).empty());
    }
    SECTION("wakes for what can be seen only") {
        path.way.settings.delay = 10s;
        path.send(1125, 1);
        CHECK(path.way.next_time() == path.now + 11s);
    }
    SECTION("drops what does not fit into the queue, in bytes, at its tail") {
        for (std::uint8_t number = 1; number <= 12; ++number)
            path.send(1000, number);
        CHECK(path.way.queued_bytes() == 10000);
        CHECK(path.way.counts().queue_full == 2);
        CHECK(path.receive_at(1h) == numbers{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    }
    SECTION("always takes one packet") {
        path.way.settings.queue_bytes = 100;
        path.send(1000, 1);
        path.send(1000, 2);
        CHECK(path.receive_at(1h) == numbers{1});
    }
    SECTION("applies a new rate to the packets that wait") {
        path.send(1125, 1);
        path.send(1125, 2);
        path.now += 1s;
        CHECK(path.receive() == numbers{1});
        path.way.settings.bytes_per_second = 1'125'000;
        CHECK(path.receive_at(1ms) == numbers{2});
    }
    SECTION("empties its queue when the rate is taken away") {
        path.send(1125, 1);
        path.send(1125, 2);
        path.way.settings.bytes_per_second = 0;
        path.send(1125, 3);
        CHECK(path.receive_at(0ms) == numbers{1, 2, 3});
    }
}

TEST_CASE("a path with loss") {
    scripted_path path;
    constexpr std::uint64_t packets = 100'000;
    const auto send_all = [&] {
        for (std::uint64_t i = 0; i < packets; ++i)
            path.send(100);
        path.receive();
    };

    SECTION("loses that share of packets, each by itself") {
        path.way.settings.loss = 0.02;
        send_all();
        // 2000 with a standard deviation of 44.
        CHECK(path.way.counts().lost > 1780);
        CHECK(path.way.counts().lost < 2220);
        CHECK(path.way.counts().delivered_packets == packets - path.way.counts().lost);
    }
    SECTION("loses packets that have passed the transmitter, so their time is used") {
        path.way.settings.loss = 1;
        path.way.settings.bytes_per_second = 1000;
        path.way.settings.queue_bytes = 10000;
        path.send(1000, 1);
        path.now += 500ms;
        path.way.settings.loss = 0;
        path.way.next_due(path.now);
        path.way.settings.loss = 1;
        path.send(1000, 2);
        CHECK(path.way.queued_bytes() == 2000);
        path.now += 500ms;
        path.receive();
        CHECK(path.way.counts().lost == 1);
        path.way.settings.loss = 0;
        CHECK(path.receive_at(999ms).empty());
        CHECK(path.receive_at(1000ms) == numbers{2});
    }
    SECTION("in bursts loses runs of the mean length, and the share of all") {
        path.way.settings.burst = {0.01 * 0.2 / 0.99, 0.2}; // 1 % in runs of 5
        std::uint64_t runs = 0;
        std::uint64_t lost = 0;
        for (std::uint64_t i = 0; i < packets; ++i) {
            const auto before = path.way.counts().lost_in_bursts;
            path.send(100);
            const bool lost_now = path.way.counts().lost_in_bursts > before;
            if (lost_now && lost == 0) ++runs;
            lost = lost_now ? 1 : 0;
            path.receive();
        }
        const double share = static_cast<double>(path.way.counts().lost_in_bursts) / packets;
        const double length =
            static_cast<double>(path.way.counts().lost_in_bursts) / static_cast<double>(runs);
        CHECK(share > 0.007);
        CHECK(share < 0.013);
        CHECK(length > 4);
        CHECK(length < 6);
    }
    SECTION("loses the same packets with the same seed") {
        path.way.settings.loss = 0.5;
        scripted_path again;
        again.way.settings.loss = 0.5;
        for (std::uint8_t number = 0; number < 100; ++number) {
            path.send(100, number);
            again.send(100, number);
        }
        CHECK(path.receive() == again.receive());
    }
}

TEST_CASE("a path that reorders") {
    scripted_path path;
    path.way.settings.delay = 50ms;
    path.way.settings.reorder = 1;
    path.way.settings.reorder_by = 20ms;
    path.send(100, 1);
    path.way.settings.reorder = 0;
    path.send(100, 2);
    CHECK(path.receive_at(50ms) == numbers{2});
    CHECK(path.receive_at(70ms) == numbers{1});
    CHECK(path.way.counts().reordered == 1);
}

TEST_CASE("a path with an MTU") {
    scripted_path path;
    path.way.settings.mtu = 1300;
    path.send(1300, 1);
    path.send(1301, 2);
    CHECK(path.receive() == numbers{1});
    CHECK(path.way.counts().too_big == 1);

    SECTION("tells nobody unless it is to") {
        CHECK_FALSE(path.way.would_tell(1301));
        path.way.settings.mtu_is_told = true;
        CHECK(path.way.would_tell(1301));
        CHECK_FALSE(path.way.would_tell(1300));
    }
}

TEST_CASE("a path that is blacked out") {
    scripted_path path;
    path.way.settings.delay = 50ms;
    path.send(100, 1);
    path.way.black_out_until(path.now + 5s);

    SECTION("loses what was inside and would come out meanwhile") {
        CHECK(path.receive_at(51ms).empty());
        CHECK(path.way.counts().blacked_out == 1);
        CHECK(path.way.inside() == 0);
    }
    SECTION("loses what comes meanwhile") {
        path.now += 5s - 1ms;
        path.send(100, 2);
        path.now += 1ms;
        path.send(100, 3);
        path.receive();
        CHECK(path.receive_at(50ms) == numbers{3});
    }
}
