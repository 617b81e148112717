#include "protocol/link/loop/output_buffer.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

using namespace muxsocks;

namespace {

std::vector<std::uint8_t> content(const output_buffer& buffer) {
    return {buffer.view().begin(), buffer.view().end()};
}

} // namespace

TEST_CASE("an output buffer") {
    output_buffer buffer;
    const std::vector<std::uint8_t> abc{'a', 'b', 'c'};

    SECTION("holds nothing at first, no memory either") {
        CHECK(buffer.empty());
        CHECK(buffer.size() == 0);
        CHECK(buffer.capacity() == 0);
        CHECK(buffer.view().empty());
    }
    SECTION("gives out what was appended, in order, as it is consumed") {
        buffer.append(abc);
        buffer.append(abc);
        buffer.consume(2);
        CHECK(content(buffer) == std::vector<std::uint8_t>{'c', 'a', 'b', 'c'});
        CHECK(buffer.size() == 4);
        buffer.consume(4);
        CHECK(buffer.empty());
    }
    SECTION("takes what was written to its room and committed, no more") {
        const auto room = buffer.prepare(10);
        REQUIRE(room.size() >= 10);
        std::fill(room.begin(), room.end(), std::uint8_t{'x'});
        buffer.commit(2);
        CHECK(content(buffer) == std::vector<std::uint8_t>{'x', 'x'});
    }
    SECTION("keeps its memory when it is drained or cleared, gives it back on release") {
        buffer.append(abc);
        const std::size_t capacity = buffer.capacity();
        buffer.consume(3);
        CHECK(buffer.capacity() == capacity);
        buffer.append(abc);
        buffer.clear();
        CHECK(buffer.empty());
        CHECK(buffer.capacity() == capacity);
        buffer.release();
        CHECK(buffer.capacity() == 0);
        buffer.append(abc);
        CHECK(content(buffer) == abc);
    }
    SECTION("does not grow as long as what waits is small beside it") {
        output_buffer sized(1000);
        const std::size_t capacity = sized.capacity();
        for (int i = 0; i < 10000; ++i) {
            sized.append(std::vector<std::uint8_t>(300));
            sized.consume(i == 0 ? 200 : 300);
        }
        CHECK(sized.size() == 100);
        CHECK(sized.capacity() == capacity);
    }
    SECTION("moves, and leaves an empty one behind") {
        buffer.append(abc);
        output_buffer other(std::move(buffer));
        CHECK(content(other) == abc);
        buffer = output_buffer();
        CHECK(buffer.empty());
        CHECK(buffer.capacity() == 0);
        buffer = std::move(other);
        CHECK(content(buffer) == abc);
        CHECK(other.empty()); // NOLINT: what is left behind is defined
        CHECK(other.capacity() == 0);
    }
}

TEST_CASE("an output buffer is a queue under any order of use") {
    const unsigned seed = GENERATE(range(0U, 20U));
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto up_to = [&](std::size_t most) {
        return std::uniform_int_distribution<std::size_t>(0, most)(random);
    };
    output_buffer buffer;
    std::deque<std::uint8_t> model;
    std::uint8_t next = 0;
    for (int i = 0; i < 2000; ++i) {
        std::vector<std::uint8_t> piece(up_to(i % 50 == 0 ? 5000 : 100));
        for (auto& byte : piece)
            byte = next++;
        buffer.append(piece);
        model.insert(model.end(), piece.begin(), piece.end());
        const std::size_t taken = up_to(model.size());
        buffer.consume(taken);
        model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(taken));
        REQUIRE(std::equal(model.begin(), model.end(), buffer.view().begin(), buffer.view().end()));
    }
}
