#include "protocol/link/stalled_search.hpp"
#include "protocol/session/session.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

#include <optional>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

struct holder : memory_holder {
    explicit holder(link_thread& where, std::size_t bytes) : stalled(bytes) { where.enlist(*this); }
    stalled_memory most_stalled() const override {
        return stalled == 0 ? stalled_memory() : stalled_memory{user_holds, stalled};
    }
    void shed_most_stalled() override {
        ++shed;
        stalled = 0;
    }

    std::size_t stalled;
    std::size_t user_holds = 0;
    int shed = 0;
};

struct fixture {
    memory_budget budget{1 << 20};
    stalled_search search;
    link_thread one{budget};
    link_thread two{budget};

    fixture() {
        search.enlist(one);
        search.enlist(two);
    }
    void run() {
        for (int i = 0; i < 2; ++i) {
            run_ready(one.context());
            run_ready(two.context());
        }
    }
};

} // namespace

TEST_CASE_METHOD(fixture, "a search for streams that stand still") {
    holder a(one, 10);
    holder b(one, 30);
    holder c(two, 20);
    SECTION("ends at the one that holds most, in whichever thread it is") {
        for (int i = 0; i < 3; ++i) {
            CHECK(search.begin());
            CHECK(a.shed + b.shed + c.shed == i);
            run();
            CHECK_FALSE(search.under_way());
        }
        CHECK(b.shed == 1);
        CHECK(c.shed == 1);
        CHECK(a.shed == 1);
    }
    SECTION("ends at a user who holds more in all before one whose stream does") {
        a.user_holds = 1000;
        c.user_holds = 999;
        CHECK(search.begin());
        run();
        CHECK(a.shed == 1);
        CHECK(search.begin());
        run();
        CHECK(c.shed == 1);
        CHECK(b.shed == 0);
    }
    SECTION("goes on alone while it is under way") {
        CHECK(search.begin());
        CHECK(search.begin());
        run_ready(one.context());
        CHECK(search.under_way());
        CHECK(search.begin());
        run();
        CHECK(a.shed + b.shed + c.shed == 1);
    }
    SECTION("that finds nothing is not begun again at once") {
        a.stalled = b.stalled = c.stalled = 0;
        CHECK(search.begin());
        run();
        CHECK(a.shed + b.shed + c.shed == 0);
        CHECK_FALSE(search.under_way());
        CHECK_FALSE(search.begin());
    }
}

TEST_CASE_METHOD(fixture, "a session that has ended is not searched") {
    std::optional<holder> gone(std::in_place, two, 20);
    gone.reset();
    CHECK(search.begin());
    run();
    CHECK_FALSE(search.begin());
}
