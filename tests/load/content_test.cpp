#include "benchmarks/load/content.hpp"

#include "tests/catch.hpp"

#include <algorithm>
#include <random>
#include <vector>

using namespace muxsocks::load;

namespace {

std::vector<std::uint8_t> random_bytes(std::size_t size) {
    std::mt19937 random(7);
    std::vector<std::uint8_t> bytes(size);
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(random()); });
    return bytes;
}

std::uint64_t hash_of(std::span<const std::uint8_t> bytes) {
    content_hash hash;
    hash.update(bytes);
    return hash.value();
}

} // namespace

TEST_CASE("the content hash") {
    const auto bytes = random_bytes(100'000);
    const std::uint64_t whole = hash_of(bytes);

    SECTION("does not depend on how the bytes are cut") {
        std::mt19937 random(11);
        for (int round = 0; round < 50; ++round) {
            content_hash hash;
            std::span<const std::uint8_t> rest = bytes;
            while (!rest.empty()) {
                const std::size_t part = std::min<std::size_t>(random() % 200, rest.size());
                hash.update(rest.first(part));
                rest = rest.subspan(part);
            }
            REQUIRE(hash.value() == whole);
        }
    }

    SECTION("changes with every single byte of a group") {
        for (std::size_t i = 4096; i < 4096 + content_hash::group_bytes; ++i) {
            auto changed = bytes;
            changed[i] ^= 0x80U;
            CHECK(hash_of(changed) != whole);
        }
    }

    SECTION("changes when two groups are swapped") {
        auto changed = bytes;
        std::swap_ranges(changed.begin(), changed.begin() + 64, changed.begin() + 640);
        CHECK(hash_of(changed) != whole);
    }

    SECTION("tells a missing tail of zeros") {
        auto longer = bytes;
        longer.insert(longer.end(), 3, 0);
        CHECK(hash_of(longer) != whole);
    }

    SECTION("of appended blocks is the hash of their bytes") {
        const std::size_t phase = content_phase(42);
        content_hash appended;
        content_hash updated;
        for (int block = 0; block < 3; ++block) {
            appended.append_block(content_block_hash(phase),
                                  content_block_bytes / content_hash::group_bytes);
            updated.update(content_block().subspan(phase));
            updated.update(content_block().first(phase));
        }
        CHECK(appended.value() == updated.value());
        appended.update(std::span(bytes).first(100));
        updated.update(std::span(bytes).first(100));
        CHECK(appended.value() == updated.value());
    }
}

TEST_CASE("the content of two streams") {
    SECTION("begins at different places") { CHECK(content_phase(1) != content_phase(2)); }

    SECTION("has different hashes") {
        CHECK(content_block_hash(content_phase(1)).value() !=
              content_block_hash(content_phase(2)).value());
    }
}
