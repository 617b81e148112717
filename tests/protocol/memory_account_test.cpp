#include "protocol/memory_account.hpp"

#include "tests/catch.hpp"
#include "tests/vectors/seed.hpp"

#include <algorithm>
#include <memory>
#include <vector>

using namespace muxsocks;
using muxsocks::tests::test_seed;

TEST_CASE("a session's account") {
    memory_account account(1'000, nullptr);
    SECTION("charges up to its limit") {
        CHECK(account.charge(600));
        CHECK(account.charge(400));
        CHECK_FALSE(account.charge(1));
        CHECK(account.charged() == 1'000);
        account.discharge(300);
        CHECK(account.charge(300));
    }
    SECTION("charges nothing of what does not fit") {
        CHECK_FALSE(account.charge(1'001));
        CHECK_FALSE(account.charge(static_cast<std::size_t>(-1)));
        CHECK(account.charged() == 0);
    }
    SECTION("goes above it only for what cannot be refused") {
        account.charge_anyway(1'500);
        CHECK(account.charged() == 1'500);
        CHECK_FALSE(account.charge(1));
        account.discharge(1'500);
        CHECK(account.charge(1'000));
    }
}

TEST_CASE("the relief of the budget") {
    memory_budget budget(100'000);
    unsigned asked = 0;
    bool helps = true;
    budget.on_full([&] {
        ++asked;
        return helps;
    });
    memory_account a(150'000, &budget);
    REQUIRE(a.charge(90'000));

    SECTION("is asked for what must be kept, and lets it pass") {
        CHECK(a.charge_or_relieve(20'000));
        CHECK(asked == 1);
        CHECK(a.charged() == 110'000);
        CHECK(budget.used() >= 110'000);
        a.discharge(110'000);
        CHECK(budget.used() == 0);
    }
    SECTION("is not asked for a wish, nor where there is room") {
        CHECK_FALSE(a.charge(20'000));
        CHECK(a.charge_or_relieve(5'000));
        CHECK(asked == 0);
    }
    SECTION("is not asked where the session's own bound is the reason") {
        CHECK_FALSE(a.charge_or_relieve(70'000));
        CHECK(asked == 0);
    }
    SECTION("lets the bound be passed by an eighth and 512 KiB at most, and is still asked") {
        memory_account b(1'000'000, &budget);
        CHECK_FALSE(b.charge_or_relieve(100'000 / 8 + 512 * 1024 + 20'001));
        CHECK(asked == 1);
        CHECK(b.charge_or_relieve(500'000));
        CHECK_FALSE(b.charge_or_relieve(50'000));
        CHECK(asked == 3);
    }
    SECTION("may have none to give") {
        helps = false;
        CHECK_FALSE(a.charge_or_relieve(20'000));
        CHECK(asked == 1);
        CHECK(a.charged() == 90'000);
    }
}

TEST_CASE("the budget of the process") {
    memory_budget budget(100'000);
    SECTION("is shared by the sessions") {
        memory_account a(1'000'000, &budget);
        memory_account b(1'000'000, &budget);
        CHECK(a.charge(60'000));
        CHECK_FALSE(b.charge(60'000));
        CHECK(b.charged() == 0);
        a.discharge(60'000);
        CHECK(b.charge(60'000));
    }
    SECTION("is given out to the last byte") {
        memory_account a(1'000'000, &budget);
        CHECK(a.charge(100'000));
        CHECK(budget.used() == 100'000);
        CHECK_FALSE(a.charge(1));
    }
    SECTION("has everything back when an account is empty, or gone") {
        auto a = std::make_unique<memory_account>(1'000'000, &budget);
        CHECK(a->charge(50'000));
        a->discharge(50'000);
        CHECK(budget.used() == 0);
        CHECK(a->charge(50'000));
        a.reset();
        CHECK(budget.used() == 0);
    }
    SECTION("counts what was charged beyond it") {
        memory_account a(1'000'000, &budget);
        a.charge_anyway(150'000);
        CHECK(budget.used() == 150'000);
        memory_account b(1'000'000, &budget);
        CHECK_FALSE(b.charge(1));
        a.discharge(150'000);
        CHECK(b.charge(1));
    }
    SECTION("may change its limit") {
        memory_account a(1'000'000, &budget);
        budget.set_limit(10);
        CHECK_FALSE(a.charge(11));
        CHECK(a.charge(10));
    }
}

TEST_CASE("accounts and their budget agree, whatever is charged") {
    std::mt19937 random{test_seed()};
    memory_budget budget(1'000'000);
    std::vector<std::unique_ptr<memory_account>> accounts;
    for (int i = 0; i < 4; ++i)
        accounts.push_back(std::make_unique<memory_account>(400'000, &budget));
    for (int round = 0; round < 20'000; ++round) {
        auto& account = *accounts[random() % accounts.size()];
        const auto bytes = random() % 100'000;
        if (random() % 2 == 0)
            account.charge(bytes);
        else
            account.discharge(std::min<std::size_t>(bytes, account.charged()));
        std::size_t sum = 0;
        for (const auto& each : accounts) {
            REQUIRE(each->charged() <= 400'000);
            sum += each->charged();
        }
        REQUIRE(sum <= budget.used());
        REQUIRE(budget.used() <= 1'000'000);
    }
    for (const auto& account : accounts)
        account->discharge(account->charged());
    CHECK(budget.used() == 0);
}
