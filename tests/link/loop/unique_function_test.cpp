#include "protocol/link/loop/unique_function.hpp"

#include "tests/catch.hpp"

#include <array>
#include <memory>

using muxsocks::unique_function;

TEST_CASE("a unique_function") {
    SECTION("owns what cannot be copied, small or large") {
        unique_function<int(int)> small = [held = std::make_unique<int>(40)](int n) {
            return *held + n;
        };
        unique_function<int(int)> large = [held = std::make_unique<int>(40),
                                           ballast = std::array<int, 64>{1}](int n) {
            return *held + n + ballast[0];
        };
        CHECK(small(2) == 42);
        CHECK(large(1) == 42);
        unique_function<int(int)> moved = std::move(large);
        small = std::move(moved);
        CHECK(small(2) == 43);
    }
    SECTION("is empty by default, when moved from and after reset") {
        unique_function<void()> function;
        CHECK_FALSE(function);
        function = [] {};
        CHECK(function);
        unique_function<void()> other = std::move(function);
        CHECK_FALSE(function);
        CHECK(other);
        other.reset();
        CHECK_FALSE(other);
    }
    SECTION("destroys its callable exactly once") {
        const auto counter = std::make_shared<int>(0);
        const auto check = [&](auto ballast) {
            unique_function<void()> function = [counter, ballast] { (void)ballast; };
            CHECK(counter.use_count() == 2);
            unique_function<void()> other = std::move(function);
            CHECK(counter.use_count() == 2);
            other = {};
            CHECK(counter.use_count() == 1);
        };
        check(1);
        check(std::array<long, 32>{});
    }
    SECTION("passes references and moves through") {
        unique_function<void(int&, std::unique_ptr<int>)> function =
            [](int& to, std::unique_ptr<int> from) { to = *from; };
        int value = 0;
        function(value, std::make_unique<int>(7));
        CHECK(value == 7);
    }
}
