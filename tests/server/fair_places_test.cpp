#include "server/fair_places.hpp"

#include "tests/catch.hpp"

#include <deque>
#include <limits>
#include <map>
#include <string>

using muxsocks::server::fair_places;

namespace {

struct wish : fair_places::claim {
    explicit wish(std::string of) : user(std::move(of)) {}
    std::string user;
    bool has = false;
};

/// Users who want places, and what they have got.
struct world {
    explicit world(std::size_t count) : places(count) {}
    ~world() {
        for (wish& each : wishes)
            places.leave(each);
    }

    wish& want(const std::string& user) {
        wish& one = wishes.emplace_back(user);
        one.has = places.take(one, user, most);
        return one;
    }
    void want(const std::string& user, int times) {
        for (int i = 0; i < times; ++i)
            want(user);
    }
    /// Ends the user's oldest; returns to whom the places went.
    std::string end_one_of(const std::string& user) {
        for (wish& each : wishes) {
            if (!each.has || each.user != user) continue;
            each.has = false;
            places.leave(each);
            break;
        }
        std::string served;
        while (auto* const next = static_cast<wish*>(places.next())) {
            next->has = true;
            served += next->user;
        }
        return served;
    }

    fair_places places;
    std::deque<wish> wishes;
    std::size_t most = std::numeric_limits<std::size_t>::max();
};

} // namespace

TEST_CASE("places that one user wants") {
    SECTION("are all there is, if they are few") {
        for (std::size_t count : {1U, 2U}) {
            world w(count);
            w.want("a", 10);
            CHECK(w.places.taken() == count);
            CHECK(w.places.waiting() == 10 - count);
        }
    }
    SECTION("are half of many") {
        world w(256);
        w.want("a", 1000);
        CHECK(w.places.taken() == 129);
    }
    SECTION("come in order") {
        world w(1);
        w.want("a");
        const wish& second = w.want("a");
        const wish& third = w.want("a");
        CHECK(w.end_one_of("a") == "a");
        CHECK(second.has);
        CHECK_FALSE(third.has);
    }
}

TEST_CASE("places beside a user who wants all") {
    world w(256);
    w.want("greedy", 1000);

    SECTION("are there at once for a newcomer") {
        for (int i = 0; i < 60; ++i)
            CHECK(w.want("honest").has);
    }
    SECTION("are there at once beside five more of them, too") {
        for (int i = 0; i < 5; ++i)
            w.want("greedy" + std::to_string(i), 1000);
        CHECK(w.want("honest").has);
        CHECK(w.places.taken() < 256);
    }
    SECTION("become free for those who have less than a quarter before others") {
        w.want("other", 1000);
        w.want("third", 1000);
        while (w.places.held_by("third") < 64)
            CHECK(w.end_one_of("greedy").find("greedy") == std::string::npos);
    }
    SECTION("become equal in time") {
        w.want("other", 1000);
        for (int i = 0; i < 500; ++i) {
            w.end_one_of(i % 2 == 0 ? "greedy" : "other");
        }
        const auto difference = static_cast<int>(w.places.held_by("greedy")) -
                                static_cast<int>(w.places.held_by("other"));
        CHECK(std::abs(difference) <= 3);
        CHECK(w.places.taken() > 160);
    }
}

TEST_CASE("a user with a bound of its own") {
    world w(256);
    w.most = 3;
    w.want("a", 5);

    SECTION("has no more places than that, though others are free") {
        CHECK(w.places.held_by("a") == 3);
        CHECK(w.places.waiting() == 2);
        CHECK(w.end_one_of("a") == "a");
        CHECK(w.places.held_by("a") == 3);
    }
    SECTION("stands in nobody's way") { CHECK(w.want("b").has); }
    SECTION("gets more when the bound is raised") {
        w.most = 5;
        w.want("a");
        CHECK(w.end_one_of("a") == "aaa");
    }
}

TEST_CASE("users who wait are served in turn") {
    world w(1);
    w.want("x");
    w.want("a", 3);
    w.want("b", 2);
    w.want("c", 1);
    std::string served = w.end_one_of("x");
    while (w.places.waiting() > 0)
        served += w.end_one_of(served.substr(served.size() - 1));
    CHECK(served == "abcaba");
}

TEST_CASE("a claim that leaves") {
    world w(2);
    w.want("a", 2);
    wish& first = w.want("b");
    wish& second = w.want("b");

    SECTION("the line is not served any more") {
        w.places.leave(first);
        w.places.leave(first);
        CHECK(w.places.waiting() == 1);
        CHECK(w.end_one_of("a") == "b");
        CHECK(second.has);
        CHECK_FALSE(first.has);
    }
    SECTION("leaves nothing of its user when it was the last") {
        w.places.leave(first);
        w.places.leave(second);
        CHECK(w.places.held_by("b") == 0);
        CHECK(w.end_one_of("a").empty());
        CHECK(w.places.taken() == 1);
        CHECK(w.want("b").has);
    }
}
