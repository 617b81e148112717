#include "protocol/program/certificate_watch.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

TEST_CASE("a certificate that ends") {
    // 2026-11-30T12:00:00Z
    const auto end = std::chrono::system_clock::from_time_t(1'796'040'000);
    const auto day = 24h;
    const auto warning = [&](auto before) { return expiry_warning("c.pem", end, end - before); };
    SECTION("in more than 14 days is no reason to speak") {
        CHECK_FALSE(warning(14 * day + 1s));
        CHECK_FALSE(warning(90 * day));
    }
    SECTION("within 14 days is worth a warning") {
        CHECK(warning(14 * day) ==
              "the certificate in \"c.pem\" expires on 2026-11-30, in 14 days: renew it");
        CHECK_THAT(warning(1 * day + 1s).value(), contains("in 1 day:"));
        CHECK_THAT(warning(23h).value(), contains("in less than a day:"));
    }
    SECTION("or has ended, all the more") {
        CHECK(warning(0s) == "the certificate in \"c.pem\" has expired on 2026-11-30: renew it");
        CHECK(warning(-400 * day));
    }
}

TEST_CASE("files that are watched") {
    const temporary_folder folder;
    const auto cert = folder.write("cert.pem", "old");
    asio::io_context context(1);
    deadlines clock(context);
    int changes = 0;
    certificate_watch watch(clock, [&] { ++changes; });
    const auto run_until_changed = [&](std::chrono::seconds limit) {
        const auto end = std::chrono::steady_clock::now() + limit;
        while (changes == 0 && std::chrono::steady_clock::now() < end)
            context.run_one_for(100ms);
    };
    SECTION("are reported when they have changed, and once") {
        auto seen = look_at({cert, "", folder.path() / "missing.pem"});
        folder.write("cert.pem", "renewed"); // Before watch(): nothing may be missed.
        watch.watch(std::move(seen), cert, nullptr);
        run_until_changed(30s);
        CHECK(changes == 1);
        watch.watch(look_at({cert}), cert, nullptr);
        context.run_for(2500ms);
        CHECK(changes == 1);
    }
    SECTION("may be none") {
        watch.watch(look_at({""}), "", nullptr);
        context.run_for(0s);
        CHECK(changes == 0);
    }
}
