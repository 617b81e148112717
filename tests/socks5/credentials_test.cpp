#include "socks5/credentials.hpp"

#include "socks5/error.hpp"
#include "tests/catch.hpp"

#include <string>

using muxsocks::socks5::credentials;
using muxsocks::socks5::errc;

TEST_CASE("credentials") {
    credentials users;
    REQUIRE_FALSE(users.add("alice", "s3cret"));
    REQUIRE_FALSE(users.add("bob", "hunter2"));

    SECTION("let each user in with the own password") {
        CHECK(users.check("alice", "s3cret"));
        CHECK(users.check("bob", "hunter2"));
    }
    SECTION("refuse another's password") {
        CHECK_FALSE(users.check("alice", "hunter2"));
        CHECK_FALSE(users.check("bob", "s3cret"));
    }
    SECTION("refuse unknown users and wrong passwords") {
        CHECK_FALSE(users.check("carol", "s3cret"));
        CHECK_FALSE(users.check("alice", "s3creT"));
        CHECK_FALSE(users.check("Alice", "s3cret"));
    }
    SECTION("refuse beginnings, longer ones and zeros behind") {
        CHECK_FALSE(users.check("alice", "s3cre"));
        CHECK_FALSE(users.check("alice", "s3cret1"));
        CHECK_FALSE(users.check("alice", std::string("s3cret\0", 7)));
        CHECK_FALSE(users.check(std::string("alice\0", 6), "s3cret"));
    }
    SECTION("refuse empty and overlong texts") {
        CHECK_FALSE(users.check("", ""));
        CHECK_FALSE(users.check("alice", ""));
        CHECK_FALSE(users.check("", "s3cret"));
        CHECK_FALSE(users.check("alice", std::string(256, 'x')));
        CHECK_FALSE(users.check(std::string(256 + 5, 'x'), "s3cret"));
    }
    SECTION("differ in every byte of the longest texts") {
        const std::string longest(255, 'x');
        REQUIRE_FALSE(users.add(longest, longest));
        CHECK(users.check(longest, longest));
        for (std::size_t i = 0; i < longest.size(); ++i) {
            auto wrong = longest;
            wrong[i] = 'y';
            INFO("byte " << i);
            REQUIRE_FALSE(users.check(longest, wrong));
            REQUIRE_FALSE(users.check(wrong, longest));
        }
    }
    SECTION("know a user by two passwords while one is being changed") {
        REQUIRE_FALSE(users.add("alice", "n3w"));
        CHECK(users.check("alice", "n3w"));
        CHECK(users.check("alice", "s3cret"));
    }
    SECTION("do not take what RFC 1929 cannot carry") {
        CHECK(users.add("", "x") == errc::credential_length);
        CHECK(users.add("x", "") == errc::credential_length);
        CHECK(users.add(std::string(256, 'x'), "x") == errc::credential_length);
        CHECK(users.add("x", std::string(256, 'x')) == errc::credential_length);
        CHECK(users.size() == 2);
    }
    SECTION("without an entry let nobody in") {
        const credentials none;
        CHECK(none.empty());
        CHECK_FALSE(none.check("alice", "s3cret"));
        CHECK_FALSE(none.check("", ""));
    }
}
