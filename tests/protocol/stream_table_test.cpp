#include "protocol/session/stream_table.hpp"

#include "tests/catch.hpp"
#include "tests/vectors/seed.hpp"

#include <map>
#include <memory>
#include <set>

using namespace muxsocks;
using muxsocks::tests::test_seed;

namespace {

std::unique_ptr<stream> make_stream(std::uint32_t id) {
    auto s = std::make_unique<stream>(0, 0);
    s->id = id;
    return s;
}

} // namespace

TEST_CASE("an empty stream table") {
    const stream_table table;
    CHECK(table.size() == 0);
    CHECK(table.find(1) == nullptr);
}

TEST_CASE("a stream table") {
    stream_table table;
    const auto one = make_stream(1);
    const auto three = make_stream(3);
    table.insert(*one);
    table.insert(*three);

    SECTION("finds streams by their id") {
        CHECK(table.size() == 2);
        CHECK(table.find(1) == one.get());
        CHECK(table.find(3) == three.get());
        CHECK(table.find(2) == nullptr);
        CHECK(table.find(5) == nullptr);
    }
    SECTION("forgets them") {
        table.erase(*one);
        CHECK(table.size() == 1);
        CHECK(table.find(1) == nullptr);
        CHECK(table.find(3) == three.get());
    }
    SECTION("visits each once") {
        std::multiset<std::uint32_t> seen;
        table.for_each([&seen](const stream& s) { seen.insert(s.id); });
        CHECK(seen == std::multiset<std::uint32_t>{1, 3});
    }
}

TEST_CASE("streams that stay do not slow down those that come and go") {
    stream_table table;
    std::vector<std::unique_ptr<stream>> staying;
    std::uint32_t id = 1;
    for (; staying.size() < 8'000; id += 2)
        table.insert(*staying.emplace_back(make_stream(id)));
    std::size_t most = 0;
    std::size_t all = 0;
    constexpr std::size_t coming = 70'000; // Several times what the table holds.
    for (std::size_t i = 0; i < coming; ++i, id += 2) {
        const auto passing = make_stream(id);
        table.insert(*passing);
        all += table.steps(id);
        most = std::max(most, table.steps(id));
        REQUIRE(table.find(id) == passing.get());
        table.erase(*passing);
    }
    CHECK(most < 100);
    CHECK(static_cast<double>(all) / coming < 3);
}

TEST_CASE("a stream table is as good as a map") {
    std::mt19937 random{test_seed()};
    stream_table table;
    std::map<std::uint32_t, std::unique_ptr<stream>> expected;
    std::uint32_t next_id = 1;
    // Grows to some thousand streams and shrinks again, twice.
    for (int round = 0; round < 40'000; ++round) {
        const bool growing = round / 10'000 % 2 == 0;
        if (random() % 10 < (growing ? 7U : 3U)) {
            auto s = make_stream(next_id);
            next_id += static_cast<std::uint32_t>(2 * (1 + random() % 40));
            table.insert(*s);
            expected.emplace(s->id, std::move(s));
        } else if (!expected.empty()) {
            auto at = expected.lower_bound(static_cast<std::uint32_t>(random() % next_id));
            if (at == expected.end()) at = expected.begin();
            table.erase(*at->second);
            REQUIRE(table.find(at->first) == nullptr);
            expected.erase(at);
        }
        REQUIRE(table.size() == expected.size());
        const auto probe = static_cast<std::uint32_t>(random() % next_id);
        const auto found = expected.find(probe);
        REQUIRE(table.find(probe) == (found == expected.end() ? nullptr : found->second.get()));
    }
    for (const auto& [id, s] : expected)
        REQUIRE(table.find(id) == s.get());
}
