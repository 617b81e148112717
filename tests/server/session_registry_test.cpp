#include "server/session_registry.hpp"

#include "tests/catch.hpp"

#include <array>
#include <chrono>
#include <cstddef>

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

struct fixture {
    resume_settings settings;
    session_registry registry{settings};

    fixture() {
        registry.enlist(worker_number(0));
        registry.enlist(worker_number(1));
    }
    void limit(std::uint32_t all, std::uint32_t of_user) {
        settings.sessions = all;
        settings.sessions_per_user = of_user;
        registry.set(settings);
    }
    bool insert(std::uint32_t number, const char* user = "alice") {
        return registry.insert(id_of(number), worker_number(1), user);
    }
    std::optional<session_id> detach(std::uint32_t number, std::size_t bytes = 100) {
        const auto gone = registry.on_detached(id_of(number), bytes);
        return gone ? std::optional(gone->id) : std::nullopt;
    }
    std::optional<session_id> give_up() {
        const auto gone = registry.give_up_one();
        return gone ? std::optional(gone->id) : std::nullopt;
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
        CHECK_FALSE(detach(3));
        CHECK_FALSE(detach(1));
        CHECK_FALSE(detach(0));
        CHECK(detach(2) == id_of(1));
        CHECK(registry.size() == 3);
    }
    SECTION("gives up the one of all that was detached first when there are too many") {
        limit(2, 100);
        for (std::uint32_t i = 0; i < 3; ++i)
            insert(i, i == 0 ? "alice" : "bob");
        detach(0);
        detach(1);
        CHECK(detach(2) == id_of(0));
    }
    SECTION("counts those that are back among the others") {
        limit(100, 1);
        insert(0);
        insert(1);
        detach(0);
        insert(0);
        CHECK_FALSE(detach(1));
        CHECK(detach(0) == id_of(1));
    }
    SECTION("gives up nothing twice, and no session that has a link") {
        insert(0);
        insert(1);
        CHECK_FALSE(give_up());
        detach(1);
        CHECK(give_up() == id_of(1));
        CHECK_FALSE(give_up());
        CHECK_FALSE(detach(1));
    }
    SECTION("gives up the largest of the oldest for its memory") {
        for (std::uint32_t i = 0; i < 100; ++i) {
            insert(i);
            detach(i, i == 7 ? 5000 : i == 50 ? 9000 : 100);
        }
        CHECK(give_up() == id_of(7));
        CHECK(give_up() == id_of(0));
    }
    SECTION("says once that a user has more sessions than can be kept") {
        limit(100, 2);
        CHECK_FALSE(insert(0));
        CHECK_FALSE(insert(1));
        CHECK(insert(2));
        CHECK_FALSE(insert(3));
        CHECK_FALSE(insert(4, "bob"));
        SECTION("and not for those that come back") {
            detach(0);
            CHECK_FALSE(insert(0));
        }
        SECTION("and again after the limits have changed") {
            limit(100, 3);
            CHECK(insert(5));
        }
    }
    SECTION("forgets users who have no session") {
        limit(100, 1);
        insert(0);
        CHECK(insert(1));
        registry.erase(id_of(0));
        registry.erase(id_of(1));
        insert(2);
        CHECK(insert(3));
    }
}

TEST_CASE_METHOD(fixture,
                 "the registry keeps one client's sessions by default, and many clients'") {
    // 64 `links`, each with one that retires.
    for (std::uint32_t i = 0; i < 128; ++i) {
        CHECK_FALSE(insert(i));
        CHECK_FALSE(detach(i));
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
