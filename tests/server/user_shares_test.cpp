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
    const auto first = shares.take(alice);

    SECTION("are one for all sessions of a user") {
        CHECK(shares.take(alice) == first);
        CHECK(shares.take(bob) != first);
        CHECK(shares.strangers() != first);
    }
    SECTION("stay as long as a session is there") {
        shares.take(alice);
        shares.give(alice);
        CHECK(shares.take(alice) == first);
    }
    SECTION("go with the user's last session") {
        shares.give(alice);
        CHECK(shares.take(alice) != first);
    }
}
