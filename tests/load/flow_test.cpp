#include "benchmarks/load/flow.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <random>

namespace muxsocks::load {
namespace {

using namespace std::chrono_literals;

/// Sender and receiver joined by a path that loses packets, on a clock of its own.
struct path {
    explicit path(std::uint64_t bytes) : receiver(1, bytes), sender(receiver.ack()) {}

    /// Carries until everything is there, and returns how long that took.
    std::chrono::nanoseconds run(double loss, std::chrono::milliseconds one_way = 10ms) {
        std::mt19937 random(7);
        const auto lost = [&] {
            return std::uniform_real_distribution<double>(0, 1)(random) < loss;
        };
        const auto begun = now;
        while (!receiver.complete() && now - begun < 10min) {
            now += 1ms;
            while (const auto packet = sender.next(now)) {
                ++sent;
                numbers.push_back(packet->number);
                if (!lost()) down.push_back({now + one_way, *packet});
            }
            bool due = false;
            for (; !down.empty() && down.front().at <= now; down.pop_front()) {
                std::array<std::uint8_t, flow_packet_bytes> bytes{};
                std::memcpy(bytes.data(), &down.front().what, sizeof(flow_packet));
                due = receiver.take(bytes) || due;
            }
            if (due || (receiver.owes() && now - acknowledged > 25ms)) {
                acknowledged = now;
                if (!lost()) up.push_back({now + one_way, receiver.ack()});
            }
            for (; !up.empty() && up.front().at <= now; up.pop_front())
                sender.on_ack(up.front().what, now);
        }
        return now - begun;
    }

    template <typename Message>
    struct timed {
        flow_time at;
        Message what;
    };
    flow_time now{1h};
    flow_time acknowledged{};
    flow_receiver receiver;
    flow_sender sender;
    std::deque<timed<flow_packet>> down;
    std::deque<timed<flow_ack>> up;
    std::vector<std::uint32_t> numbers;
    std::size_t sent = 0;
};

} // namespace

TEST_CASE("a download by datagrams") {
    SECTION("sends each packet once where nothing is lost, and begins faster and faster") {
        path one(1'200'000);
        // 1,000 packets: 10, 20, 40, ... in a round trip each.
        CHECK(one.run(0) < 300ms);
        CHECK(one.sent == 1'000);
        CHECK(one.receiver.missing() == 0);
        CHECK(one.receiver.bytes() == 1'200'000);
    }
    SECTION("brings everything where packets and acknowledgements are lost") {
        path one(600'000);
        (void)one.run(0.1);
        CHECK(one.receiver.complete());
        CHECK(one.sent > 500);
        CHECK(std::is_sorted(one.numbers.begin(), one.numbers.end()));
        CHECK(std::adjacent_find(one.numbers.begin(), one.numbers.end()) == one.numbers.end());
    }
    SECTION("is slower where packets are lost") {
        path good(1'200'000);
        path bad(1'200'000);
        CHECK(bad.run(0.02) > 3 * good.run(0));
    }
    SECTION("sends nothing more once everything is there, or nobody is heard") {
        path one(12'000);
        (void)one.run(0);
        CHECK_FALSE(one.sender.over(one.now));
        one.sender.on_ack(one.receiver.ack(), one.now);
        CHECK(one.sender.over(one.now));
        path other(12'000);
        (void)other.sender.next(other.now);
        CHECK_FALSE(other.sender.over(other.now + 1s));
        CHECK(other.sender.over(other.now + 1min));
    }
    SECTION("takes no packet of another flow") {
        flow_receiver receiver(1, 12'000);
        flow_packet packet;
        packet.id = 2;
        std::array<std::uint8_t, flow_packet_bytes> bytes{};
        std::memcpy(bytes.data(), &packet, sizeof packet);
        CHECK_FALSE(receiver.take(bytes));
        CHECK(receiver.packets() == 0);
    }
}

} // namespace muxsocks::load
