#include "protocol/chunk_pool.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;

TEST_CASE("a chunk") {
    chunk_pool pool(4'096, 2);
    SECTION("has the size of its pool") {
        const auto chunk = pool.take();
        CHECK(pool.chunk_size() == 4'096);
        chunk.data()[0] = 1;
        chunk.data()[4'095] = 2;
    }
    SECTION("goes back with its last reference") {
        auto chunk = pool.take();
        const auto memory = chunk.data();
        auto other = chunk;
        chunk.reset();
        CHECK_FALSE(chunk);
        CHECK(pool.take().data() != memory);
        other.reset();
        CHECK(pool.take().data() == memory);
    }
    SECTION("is moved without a new reference") {
        auto chunk = pool.take();
        const auto memory = chunk.data();
        auto moved = std::move(chunk);
        moved.reset();
        CHECK(pool.take().data() == memory);
    }
    SECTION("may be assigned to itself") {
        auto chunk = pool.take();
        const auto memory = chunk.data();
        const auto& same = chunk;
        chunk = same;
        chunk.reset();
        CHECK(pool.take().data() == memory);
    }
    SECTION("that was used last is used first") {
        auto a = pool.take();
        auto b = pool.take();
        const auto memory = b.data();
        a.reset();
        b.reset();
        CHECK(pool.take().data() == memory);
    }
}

TEST_CASE("a pool keeps only so many unused chunks") {
    // Whether the third is freed is for the leak checker and the address sanitizer to tell.
    chunk_pool pool(4'096, 2);
    {
        const auto a = pool.take();
        const auto b = pool.take();
        const auto c = pool.take();
    }
    pool.trim();
    CHECK(pool.take());
}
