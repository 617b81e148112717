#include "server/user_account.hpp"

#include "server/file_places.hpp"
#include "server/user_table.hpp"
#include "tests/catch.hpp"

#include <optional>

using namespace muxsocks;
using namespace muxsocks::server;

namespace {

constexpr std::size_t mib = 1024 * 1024;

user_limit_settings limits_of(std::uint32_t places, std::uint64_t memory = 1'000 * mib) {
    return {places, places, places, places, places, places, places, memory, memory};
}

} // namespace

TEST_CASE("a user's places") {
    shared_memory memory(100 * mib);
    const auto alice = std::make_shared<user_account>("alice", limits_of(2), memory);

    SECTION("are as many as it may have") {
        auto first = held_place::take(alice, user_place::stream);
        auto second = held_place::take(alice, user_place::stream);
        CHECK(first);
        CHECK(second);
        CHECK_FALSE(held_place::take(alice, user_place::stream));
        CHECK(alice->held(user_place::stream) == 2);
    }
    SECTION("are counted for each kind") {
        auto first = held_place::take(alice, user_place::stream);
        auto second = held_place::take(alice, user_place::stream);
        CHECK(held_place::take(alice, user_place::session));
    }
    SECTION("are given back, once") {
        {
            auto first = held_place::take(alice, user_place::stream);
            const auto moved = std::move(first);
            CHECK(alice->held(user_place::stream) == 1);
        }
        CHECK(alice->held(user_place::stream) == 0);
    }
    SECTION("stay when there are fewer after a reload") {
        auto first = held_place::take(alice, user_place::stream);
        auto second = held_place::take(alice, user_place::stream);
        alice->set(limits_of(1));
        CHECK(alice->held(user_place::stream) == 2);
        first = {};
        CHECK_FALSE(held_place::take(alice, user_place::stream));
        second = {};
        CHECK(held_place::take(alice, user_place::stream));
    }
}

TEST_CASE("the table of users") {
    shared_memory memory(100 * mib);
    user_table table(memory);
    auto alice = table.find("alice", limits_of(2));

    SECTION("has one account for each, whoever asks") {
        CHECK(table.find("alice", limits_of(7)) == alice);
        CHECK(table.find("bob", limits_of(7)) != alice);
        CHECK(alice->most(user_place::link) == 2);
    }
    SECTION("forgets who has nothing") {
        alice.reset();
        for (int i = 0; i < 1'000; ++i)
            (void)table.find("user " + std::to_string(i), limits_of(1));
        CHECK(table.all().empty());
        CHECK(table.find("alice", limits_of(9))->most(user_place::link) == 9);
    }
}

TEST_CASE("how users share memory") {
    SECTION("alone one may have seven eighths") {
        const fair_memory all{80 * mib, 60 * mib, 1};
        CHECK(all.may_take(60 * mib, 10 * mib));
        CHECK_FALSE(all.may_take(60 * mib, 10 * mib + 1));
    }
    SECTION("beside others no more than what is free") {
        CHECK(fair_memory{80 * mib, 39 * mib, 2}.may_take(39 * mib, mib));
        CHECK_FALSE(fair_memory{80 * mib, 40 * mib, 2}.may_take(40 * mib, mib));
    }
    SECTION("each has its guaranteed share, though others hold most of the rest") {
        // With four users it is a sixteenth.
        const fair_memory all{80 * mib, 70 * mib, 4};
        CHECK(all.may_take(4 * mib, mib));
        CHECK_FALSE(all.may_take(5 * mib, mib));
        CHECK_FALSE(fair_memory{80 * mib, 79 * mib, 4}.may_take(0, 2 * mib));
    }
    SECTION("who holds little deserves what others can do without") {
        const fair_memory all{80 * mib, 80 * mib, 4};
        CHECK(all.deserves(19 * mib, mib));
        CHECK_FALSE(all.deserves(20 * mib, mib));
        CHECK(fair_memory{8 * mib, 8 * mib, 2}.deserves(3 * mib, mib));
        CHECK(fair_memory{80 * mib, 80 * mib, 1}.deserves(80 * mib, mib));
    }
}

TEST_CASE("a user's memory") {
    shared_memory all(80 * mib);
    user_account alice("alice", limits_of(9, 60 * mib), all);
    user_account bob("bob", limits_of(9), all);

    SECTION("is bounded by the user's limit") {
        CHECK(alice.memory().take(60 * mib));
        CHECK_FALSE(alice.memory().take(1));
        CHECK(alice.memory().used() == 60 * mib);
        alice.memory().give(60 * mib);
        CHECK(all.used() == 0);
    }
    SECTION("is half of all at most while another holds some") {
        REQUIRE(bob.memory().take(1));
        while (alice.memory().take(mib))
            ;
        CHECK(alice.memory().used() >= 39 * mib);
        CHECK(alice.memory().used() <= 40 * mib);
        SECTION("which leaves the other a half of the rest") {
            while (bob.memory().take(mib))
                ;
            CHECK(bob.memory().used() >= 19 * mib);
            CHECK(all.used() <= 60 * mib);
        }
    }
    SECTION("counts its holder among those who share, while it holds some") {
        CHECK(all.now().sharers == 0);
        alice.memory().take_anyway(5);
        CHECK(all.now().sharers == 1);
        bob.memory().take_anyway(5);
        CHECK(all.now().sharers == 2);
        alice.memory().give(5);
        CHECK(all.now().sharers == 1);
        CHECK_FALSE(alice.memory().take(61 * mib));
        CHECK(all.now().sharers == 1);
        bob.memory().give(5);
        CHECK(all.now().sharers == 0);
    }
    SECTION("is relieved by others only if it is little") {
        unsigned others = 0;
        unsigned own = 0;
        all.on_full([&] { return ++others > 0; });
        all.on_user_full([&](user_account& user) {
            CHECK(&user == &alice);
            return ++own > 0;
        });
        bob.memory().take_anyway(30 * mib);
        alice.memory().take_anyway(20 * mib);
        CHECK(alice.memory().relieve(mib));
        CHECK(others == 1);
        alice.memory().take_anyway(29 * mib);
        CHECK(alice.memory().relieve(mib));
        CHECK_FALSE(alice.memory().relieve(2 * mib));
        CHECK(own == 2);
        CHECK(others == 1);
    }
}

TEST_CASE("a session's memory goes to its user") {
    shared_memory all(80 * mib);
    auto alice = std::make_shared<user_account>("alice", limits_of(9), all);
    std::optional<memory_account> session(std::in_place, 10 * mib, &all);
    REQUIRE(session->charge(3 * mib));
    session->move_to({alice, &alice->memory()});
    CHECK(alice->memory().used() == all.used());
    REQUIRE(session->charge(3 * mib));
    CHECK(alice->memory().used() >= 6 * mib);
    SECTION("and keeps the account while it is there") {
        const std::weak_ptr<user_account> seen = alice;
        alice.reset();
        CHECK_FALSE(seen.expired());
        session.reset();
        CHECK(seen.expired());
        CHECK(all.used() == 0);
    }
}

TEST_CASE("files for targets") {
    shared_memory memory(100 * mib);
    user_account greedy("greedy", limits_of(1'000'000), memory);
    user_account modest("modest", limits_of(3), memory);
    file_places files(1'024);

    const auto take_all = [&](user_account& user) {
        std::size_t taken = 0;
        while (files.take(user) == file_places::answer::taken)
            ++taken;
        return taken;
    };
    SECTION("that one user takes leave some for links and for users with few") {
        CHECK(take_all(greedy) == files.most());
        CHECK(files.take(greedy) == file_places::answer::process_has_too_many);
        CHECK(files.most_of_those_with_few() <= 1'024 - 1'024 / 8);
        CHECK(files.most() <= files.most_of_those_with_few() - 1'024 / 8);
        CHECK(take_all(modest) == 3);
        CHECK(files.take(modest) == file_places::answer::user_has_too_many);
        CHECK(modest.held(user_place::file) == 3);
    }
    SECTION("are given back") {
        REQUIRE(take_all(modest) == 3);
        files.give(modest);
        CHECK(files.held() == 2);
        CHECK(take_all(modest) == 1);
    }
    SECTION("are there for users with few only until they have many") {
        user_account other("other", limits_of(1'000'000), memory);
        REQUIRE(take_all(greedy) == files.most());
        CHECK(take_all(other) == files.few());
    }
}
