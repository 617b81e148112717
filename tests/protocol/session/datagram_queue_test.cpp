#include "protocol/session/datagram_queue.hpp"

#include "tests/catch.hpp"

namespace muxsocks {

TEST_CASE("a queue of those that have datagrams") {
    datagram_queue queue;
    const auto next = [&queue](std::uint32_t round, bool others) {
        const auto taken = queue.next(round, others);
        return taken ? taken->id : 0;
    };
    SECTION("gives nobody a turn when it is empty") {
        CHECK_FALSE(queue.has_turn(1, false));
        CHECK(next(1, false) == 0);
    }
    SECTION("has who sent little first") {
        queue.add(1, false);
        queue.add(3, true);
        CHECK(next(1, false) == 3);
        CHECK(next(1, false) == 1);
    }
    SECTION("gives all others one turn while the streams beside them go round once") {
        queue.add(1, false);
        queue.add(3, false);
        CHECK(next(1, true) == 1);
        queue.add(1, false);
        CHECK(next(1, true) == 3);
        CHECK_FALSE(queue.has_turn(1, true));
        CHECK(queue.has_turn(2, true));
        CHECK(next(2, true) == 1);
    }
    SECTION("does not make them wait for streams that have nothing to send") {
        queue.add(1, false);
        CHECK(next(1, true) == 1);
        queue.add(1, false);
        CHECK_FALSE(queue.has_turn(1, true));
        CHECK(next(1, false) == 1);
    }
}

} // namespace muxsocks
