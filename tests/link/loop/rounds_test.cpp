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

TEST_CASE_METHOD(fixture, "a thousand shares with more to do all come to it") {
    std::vector<share_ptr> many;
    int pieces = 0;
    for (int i = 0; i < 1000; ++i) {
        many.push_back(make());
        for (int piece = 0; piece < 2; ++piece)
            many.back()->later([&] {
                ++pieces;
                test_time += 2 * rounds::length;
            });
    }
    CHECK(context.run_one() == 1);
    CHECK(pieces == 1000);
    CHECK(make()->may_begin());
    run_ready(context);
    CHECK(pieces == 2000);
}

TEST_CASE("what waits goes with the event loop") {
    auto held = std::make_shared<int>(0);
    {
        asio::io_context context;
        rounds all(context);
        const share_ptr one(new round_share(all));
        one->later([held, one] {});
        CHECK(held.use_count() == 2);
    }
    CHECK(held.use_count() == 1);
}
