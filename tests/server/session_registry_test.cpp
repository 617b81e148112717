#include "server/session_registry.hpp"

#include "tests/catch.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>

using namespace muxsocks;
using namespace muxsocks::server;

namespace {

session_id id_of(std::uint32_t number) {
    session_id id{};
    id[0] = static_cast<std::uint8_t>(number);
    id[1] = static_cast<std::uint8_t>(number >> 8);
    id[2] = static_cast<std::uint8_t>(number >> 16);
    return id;
}

/// Only named, never called.
worker& worker_number(int n) {
    struct alignas(std::max_align_t) place {
        std::byte byte;
    };
    static std::array<place, 4> places;
    return reinterpret_cast<worker&>(places[static_cast<std::size_t>(n)]);
}

constexpr std::uint64_t plenty = 1'000'000'000;

struct fixture {
    resume_settings settings;
    shared_memory memory{plenty};
    user_limit_settings limits{100'000, 1, 1, 1, 1, 1, 1, plenty, plenty};
    std::map<std::string, user_account_ptr> users;
    session_registry registry{settings};

    fixture() {
        registry.enlist(worker_number(0));
        registry.enlist(worker_number(1));
    }
    void limit(std::uint32_t all, std::uint32_t of_user) {
        settings.sessions = all;
        registry.set(settings);
        limits.sessions = of_user;
        for (const auto& [name, user] : users)
            user->set(limits);
    }
    const user_account_ptr& user(const std::string& name) {
        auto& known = users[name];
        if (!known) known = std::make_shared<user_account>(name, limits, memory);
        return known;
    }
    void insert(std::uint32_t number, const char* whose = "alice") {
        registry.insert(id_of(number), worker_number(1), user(whose));
    }
    using ids = std::vector<session_id>;
    ids detach(std::uint32_t number, std::size_t bytes = 100) {
        ids gone;
        for (const auto& each : registry.on_detached(id_of(number), bytes))
            gone.push_back(each.id);
        return gone;
    }
    static std::optional<session_id> id(const std::optional<session_registry::victim>& gone) {
        return gone ? std::optional(gone->id) : std::nullopt;
    }
    std::optional<session_id> give_up() { return id(registry.give_up_one()); }
    std::optional<session_id> give_up_of(const char* whose) {
        return id(registry.give_up_one_of(*user(whose)));
    }
};

} // namespace

TEST_CASE_METHOD(fixture, "the registry of sessions") {
    SECTION("finds the worker that owns a session") {
        insert(2);
        CHECK(&registry.find(id_of(2)) == &worker_number(1));
        registry.erase(id_of(2));
        CHECK(&registry.find(id_of(2)) == &worker_number(0));
        CHECK(&registry.find(id_of(3)) == &worker_number(1));
    }
    SECTION("gives up the one of a user that was detached first when there are too many") {
        limit(100, 2);
        for (std::uint32_t i = 0; i < 3; ++i)
            insert(i);
        insert(3, "bob");
        CHECK(detach(3).empty());
        CHECK(detach(1).empty());
        CHECK(detach(0).empty());
        CHECK(detach(2) == ids{id_of(1)});
        CHECK(registry.size() == 3);
    }
    SECTION("gives up the one of all that was detached first when there are too many") {
        limit(2, 100);
        for (std::uint32_t i = 0; i < 3; ++i)
            insert(i, i == 0 ? "alice" : "bob");
        detach(0);
        detach(1);
        CHECK(detach(2) == ids{id_of(0)});
    }
    SECTION("counts those that are back among the others") {
        limit(100, 1);
        insert(0);
        insert(1);
        detach(0);
        insert(0);
        CHECK(detach(1).empty());
        CHECK(detach(0) == ids{id_of(1)});
    }
    SECTION("gives up nothing twice, and no session that has a link") {
        insert(0);
        insert(1);
        CHECK_FALSE(give_up());
        detach(1);
        CHECK(give_up() == id_of(1));
        CHECK_FALSE(give_up());
        CHECK(detach(1).empty());
    }
    SECTION("gives up the largest of the oldest for its memory") {
        for (std::uint32_t i = 0; i < 100; ++i) {
            insert(i);
            detach(i, i == 7 ? 5000 : i == 50 ? 9000 : 100);
        }
        CHECK(give_up() == id_of(7));
        CHECK(give_up() == id_of(0));
    }
    SECTION("gives up one of the user who holds most first") {
        user("bob")->memory().take_anyway(10);
        insert(0);
        insert(1, "bob");
        detach(0, 900);
        detach(1, 5);
        CHECK(give_up() == id_of(1));
    }
    SECTION("gives up the one of a user that was detached first for a new one of that user") {
        insert(0, "bob");
        for (std::uint32_t i = 1; i < 4; ++i)
            insert(i);
        detach(0);
        detach(2);
        detach(1);
        CHECK(give_up_of("alice") == id_of(2));
        CHECK(give_up_of("alice") == id_of(1));
        CHECK_FALSE(give_up_of("alice"));
        CHECK(give_up_of("bob") == id_of(0));
    }
    SECTION("gives up those of a user that hold too much, the oldest first, and never the last") {
        limits.detached_memory = 1'000;
        insert(0, "bob");
        detach(0, 5'000);
        for (std::uint32_t i = 1; i < 5; ++i)
            insert(i);
        CHECK(detach(1, 400).empty());
        CHECK(detach(2, 600).empty());
        CHECK(detach(3, 700) == ids{id_of(1), id_of(2)});
        CHECK(detach(4, 5'000) == ids{id_of(3)});
    }
    SECTION("keeps a user's account while there is a session") {
        insert(0);
        const std::weak_ptr<user_account> seen = user("alice");
        users.clear();
        CHECK_FALSE(seen.expired());
        registry.erase(id_of(0));
        CHECK(seen.expired());
    }
}

TEST_CASE_METHOD(fixture, "a hundred thousand sessions are lost and back in a moment") {
    constexpr std::uint32_t count = 100'000;
    limit(count, count);
    for (std::uint32_t i = 0; i < count; ++i)
        insert(i);
    const auto begun = std::chrono::steady_clock::now();
    for (std::uint32_t i = 0; i < count; ++i)
        detach(i);
    for (std::uint32_t i = 0; i < count; ++i)
        insert(i);
    // A scan for each took minutes; this takes some 50 ms.
    CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(10));
}
