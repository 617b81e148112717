#include "protocol/link/loop/rounds.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

#include <boost/asio/post.hpp>

#include <string>
#include <vector>

using namespace muxsocks;
using muxsocks::test::run_ready;

namespace {

using duration = round_share::clock::duration;

/// Goes on as the work of a test says.
round_share::clock::time_point test_time;

struct fixture {
    asio::io_context context;
    rounds all{context, [] { return test_time; }};
    std::string done;

    share_ptr make() { return new round_share(all); }
    /// Work that takes all of a share.
    auto long_work(char name) {
        return [this, name] {
            done += name;
            test_time += 2 * rounds::length;
        };
    }
    auto short_work(char name) {
        return [this, name] { done += name; };
    }
};

} // namespace

TEST_CASE_METHOD(fixture, "a share of a round") {
    const auto one = make();
    SECTION("does at once what there is time for") {
        one->run(short_work('a'));
        one->run(long_work('b'));
        CHECK(done == "ab");
        CHECK(one->left() < duration::zero());
    }
    SECTION("leaves the rest to the next rounds, in its order") {
        for (const char each : {'a', 'b', 'c'})
            one->run(long_work(each));
        CHECK(done == "a");
        asio::post(context, short_work('-'));
        CHECK(context.run_one() == 1); // The round begins.
        CHECK(done == "ab");
        run_ready(context);
        CHECK(done == "ab-c");
    }
    SECTION("is whole again in the next round") {
        one->run(long_work('a'));
        run_ready(context);
        CHECK(one->may_begin());
        one->run(short_work('b'));
        CHECK(done == "ab");
    }
    SECTION("costs the event loop nothing while it is not used up") {
        one->run(short_work('a'));
        CHECK(context.poll() == 0);
    }
    SECTION("lets nothing overtake what waits") {
        one->run(long_work('a'));
        one->run(short_work('b'));
        run_ready(context);
        one->later(short_work('c'));
        one->run(short_work('d'));
        CHECK(done == "ab");
        run_ready(context);
        CHECK(done == "abcd");
    }
    SECTION("puts off what is put off while others are done") {
        one->later([this, one] {
            done += 'a';
            one->later(short_work('b'));
        });
        CHECK(context.run_one() == 1);
        CHECK(done == "a");
        run_ready(context);
        CHECK(done == "ab");
    }
    SECTION("counts work within work once") {
        {
            const round_share::use outer(*one);
            one->run([&] { test_time += rounds::length / 5; });
        }
        CHECK(one->left() == duration(rounds::length) - rounds::length / 5);
    }
}

TEST_CASE_METHOD(fixture, "shares of several users") {
    const auto one = make();
    const auto two = make();
    SECTION("are apart") {
        one->run(long_work('a'));
        one->run(long_work('b'));
        two->run(short_work('c'));
        CHECK(done == "ac");
    }
    SECTION("are smaller while several have more to do") {
        for (int i = 0; i < 3; ++i) {
            one->run(long_work('a'));
            two->run(long_work('b'));
        }
        CHECK(context.run_one() == 1);
        CHECK(make()->left() <= rounds::length / 2);
        run_ready(context);
        CHECK(done == "ababab");
        run_ready(context);
        CHECK(make()->left() == duration(rounds::length));
    }
}

TEST_CASE_METHOD(fixture, "a thousand shares with more to do") {
    constexpr std::size_t count = 1000;
    std::vector<share_ptr> many;
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < count; ++i) {
        many.push_back(make());
        for (int piece = 0; piece < 2; ++piece)
            many.back()->later([&, i] {
                order.push_back(i);
                test_time += rounds::length_max / 10;
            });
    }
    CHECK(context.run_one() == 1);
    SECTION("are not all reached in one round") { CHECK(order.size() == 10); }
    SECTION("let others do something between rounds") {
        const auto other = make();
        other->run(long_work('a'));
        other->run(short_work('b'));
        CHECK(done == "a");
        CHECK(context.run_one() == 1);
        CHECK(order.size() < 30);
        other->run(long_work('c'));
        CHECK(done == "a"); // Behind what it has put off itself.
    }
    SECTION("all come to it in turn") {
        run_ready(context);
        REQUIRE(order.size() == 2 * count);
        for (std::size_t i = 0; i < count; ++i) {
            REQUIRE(order[i] == i);
            REQUIRE(order[count + i] == i);
        }
    }
}

TEST_CASE_METHOD(fixture, "what nobody waits for") {
    const auto one = make();
    const auto two = make();
    SECTION("is done behind what others have put off") {
        one->behind(short_work('b'));
        two->later(short_work('a'));
        CHECK(done.empty());
        run_ready(context);
        CHECK(done == "ab");
    }
    SECTION("is done for a part of a round at a time") {
        for (int i = 0; i < 3; ++i)
            one->behind(long_work('b'));
        CHECK(context.run_one() == 1);
        CHECK(done == "b");
        two->run(short_work('a'));
        CHECK(done == "ba");
        run_ready(context);
        CHECK(done == "babb");
    }
    SECTION("counts for whoever has it") {
        one->behind(long_work('b'));
        CHECK(context.run_one() == 1);
        CHECK_FALSE(one->may_begin());
        CHECK(two->may_begin());
    }
}

TEST_CASE("what waits goes with the event loop") {
    auto held = std::make_shared<int>(0);
    {
        asio::io_context context;
        rounds all(context);
        const share_ptr one(new round_share(all));
        one->later([held, one] {});
        one->behind([held, one] {});
        CHECK(held.use_count() == 3);
    }
    CHECK(held.use_count() == 1);
}
