#include "server/user_shares.hpp"

#include "tests/catch.hpp"

using namespace muxsocks;
using namespace muxsocks::server;

TEST_CASE("shares of a thread's time") {
    shared_memory memory(1 << 20);
    const user_account alice("alice", {}, memory);
    const user_account bob("bob", {}, memory);
    link_thread thread(memory);
    user_shares shares(thread);
    auto first = shares.take(alice);
    const auto of_alice = first.share();

    SECTION("are one for all sessions of a user") {
        CHECK(shares.take(alice).share() == of_alice);
        CHECK(shares.take(bob).share() != of_alice);
        CHECK(shares.strangers() != of_alice);
    }
    SECTION("stay as long as a session is there, wherever its part is kept") {
        auto second = shares.take(alice);
        first = std::move(second);
        CHECK(shares.take(alice).share() == of_alice);
    }
    SECTION("go with the user's last session") {
        first = {};
        CHECK(shares.take(alice).share() != of_alice);
    }
}
