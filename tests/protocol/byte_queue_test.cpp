#include "protocol/byte_queue.hpp"

#include "tests/catch.hpp"
#include "tests/vectors/seed.hpp"

#include <string>

using namespace muxsocks;
using muxsocks::tests::test_seed;

namespace {

bytes_view bytes_of(const std::string& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string all_of(const byte_queue& queue) {
    std::vector<bytes_view> views(1'000);
    const auto used = queue.peek(views);
    std::string text;
    for (const auto view : std::span(views).first(used))
        text.append(view.begin(), view.end());
    return text;
}

} // namespace

TEST_CASE("a queue of bytes") {
    byte_queue queue;
    SECTION("holds no memory while it is empty") {
        CHECK(queue.empty());
        CHECK(queue.size() == 0);
        CHECK(queue.capacity() == 0);
        queue.append(bytes_of("abc"));
        CHECK(queue.capacity() >= 3);
        queue.consume(3);
        CHECK(queue.empty());
        CHECK(queue.capacity() == 0);
    }
    SECTION("gives bytes in their order") {
        queue.append(bytes_of("abc"));
        queue.append(bytes_of(""));
        queue.append(bytes_of("defg"));
        CHECK(queue.size() == 7);
        CHECK(all_of(queue) == "abcdefg");
        queue.consume(2);
        CHECK(all_of(queue) == "cdefg");
        queue.append(bytes_of("h"));
        CHECK(all_of(queue) == "cdefgh");
    }
    SECTION("costs little more than its bytes") {
        queue.append(bytes_of("x"));
        CHECK(queue.capacity() <= 2'048);
        const std::string much(100'000, 'x');
        for (int i = 0; i < 10; ++i)
            queue.append(bytes_of(much));
        CHECK(queue.capacity() <= 1'000'000 + 2 * 65'536);
    }
    SECTION("shows no more views than there is room for") {
        const std::string much(200'000, 'x');
        queue.append(bytes_of(much));
        std::array<bytes_view, 1> one;
        CHECK(queue.peek(one) == 1);
        CHECK(one[0].size() <= 65'536);
        CHECK(queue.peek({}) == 0);
    }
    SECTION("forgets everything at once, however long") {
        const std::string much(64 * 1024, 'x');
        for (int i = 0; i < 2'000; ++i)
            queue.append(bytes_of(much));
        queue.clear();
        CHECK(queue.empty());
        CHECK(queue.size() == 0);
        CHECK(queue.capacity() == 0);
        queue.append(bytes_of("again"));
        CHECK(all_of(queue) == "again");
    }
}

TEST_CASE("a queue of bytes is as good as a string") {
    std::mt19937 random{test_seed()};
    byte_queue queue;
    std::string expected;
    for (int round = 0; round < 2'000; ++round) {
        if (random() % 2 == 0) {
            const std::string more(random() % 9'000, static_cast<char>('a' + random() % 26));
            queue.append(bytes_of(more));
            expected += more;
        } else {
            const auto bytes = random() % (expected.size() + 1);
            queue.consume(bytes);
            expected.erase(0, bytes);
        }
        REQUIRE(queue.size() == expected.size());
        REQUIRE(queue.capacity() >= queue.size());
        REQUIRE(queue.empty() == expected.empty());
    }
    CHECK(all_of(queue) == expected);
}
