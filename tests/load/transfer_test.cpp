#include "benchmarks/load/transfer.hpp"

#include "tests/catch.hpp"

#include <array>
#include <random>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

using namespace muxsocks::load;

namespace {

/// Everything that a sender puts on the wire, read through a real socket pair.
std::vector<std::uint8_t> wire_of(content_sender& sender, std::uint64_t stop_after = 0) {
    std::array<int, 2> pair{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0);
    std::vector<std::uint8_t> wire;
    std::array<std::uint8_t, 65536> buffer{};
    std::uint64_t payload = 0;
    while (!sender.finished()) {
        const auto taken = sender.write_once(pair[0]);
        REQUIRE(taken);
        payload += *taken;
        if (stop_after != 0 && payload >= stop_after) sender.stop();
        for (ssize_t size = 0; (size = read(pair[1], buffer.data(), buffer.size())) > 0;) {
            wire.insert(wire.end(), buffer.begin(), buffer.begin() + size);
        }
    }
    CHECK(payload == sender.sent().bytes);
    close(pair[0]);
    close(pair[1]);
    return wire;
}

constexpr std::uint64_t length = 3 * content_block_bytes + 12345;

} // namespace

TEST_CASE("a transfer of a given length") {
    content_sender sender(5, length);
    auto wire = wire_of(sender);
    CHECK(sender.sent().bytes == length);

    SECTION("arrives intact, however it is cut") {
        std::mt19937 random(3);
        for (const std::size_t cut_max :
             {std::size_t{1'000'000}, std::size_t{70'000}, std::size_t{9}}) {
            content_receiver receiver;
            std::span<const std::uint8_t> rest = wire;
            while (!rest.empty()) {
                const auto part = std::min<std::size_t>(1 + random() % cut_max, rest.size());
                receiver.take(rest.first(part));
                rest = rest.subspan(part);
            }
            REQUIRE(receiver.current() == content_receiver::state::finished);
            CHECK(receiver.intact());
            CHECK(receiver.received() == sender.sent());
        }
    }

    SECTION("is not intact after one bit has changed") {
        wire[wire.size() / 2] ^= 1U;
        content_receiver receiver;
        receiver.take(wire);
        CHECK_FALSE(receiver.intact());
    }

    SECTION("is not intact when a piece was lost") {
        wire.erase(wire.begin() + 100'000, wire.begin() + 116'384);
        content_receiver receiver;
        receiver.take(wire);
        CHECK_FALSE(receiver.intact());
    }

    SECTION("is not intact when two pieces came in the wrong order") {
        std::swap_ranges(wire.begin() + 16'384, wire.begin() + 32'768, wire.begin() + 32'768);
        content_receiver receiver;
        receiver.take(wire);
        CHECK_FALSE(receiver.intact());
    }

    SECTION("has not finished before its end") {
        content_receiver receiver;
        receiver.take(std::span(wire).first(wire.size() - 1));
        CHECK(receiver.current() == content_receiver::state::receiving);
        CHECK_FALSE(receiver.intact());
    }

    SECTION("may not be followed by anything") {
        wire.push_back(0);
        content_receiver receiver;
        CHECK(receiver.take(wire) == content_receiver::state::broken);
    }
}

TEST_CASE("an endless transfer that is stopped") {
    content_sender sender(6, 0);
    const auto wire = wire_of(sender, 1'000'000);
    content_receiver receiver;
    receiver.take(wire);

    SECTION("ends behind a whole chunk") {
        CHECK(sender.sent().bytes >= 1'000'000);
        CHECK(sender.sent().bytes % content_block_bytes == 0);
    }
    SECTION("arrives intact") { CHECK(receiver.intact()); }
}

TEST_CASE("the content of another stream is not taken for one's own") {
    content_sender mine(1, content_block_bytes);
    content_sender other(2, content_block_bytes);
    auto wire = wire_of(mine);
    const auto foreign = wire_of(other);
    std::copy(foreign.begin() + 1000, foreign.begin() + 17'384, wire.begin() + 1000);
    content_receiver receiver;
    receiver.take(wire);
    CHECK_FALSE(receiver.intact());
}
