#include "server/dns_watch.hpp"

#include "protocol/link/dial/resolve_error.hpp"
#include "tests/catch.hpp"

using namespace muxsocks;
using namespace muxsocks::server;
using namespace std::chrono_literals;

TEST_CASE("the watch over DNS") {
    dns_watch watch{dns_settings{}};
    auto now = dns_watch::clock::now();
    SECTION("warns of the first failure, and then once a minute") {
        watch.on_result(resolve_errc::timed_out, now);
        CHECK(watch.warnings() == 1);
        watch.on_result(resolve_errc::server_failure, now + 59s);
        CHECK(watch.warnings() == 1);
        watch.on_result(resolve_errc::server_failure, now + 60s);
        CHECK(watch.warnings() == 2);
    }
    SECTION("does not warn of names that do not exist") {
        watch.on_result(resolve_errc::not_found, now);
        watch.on_result(resolve_errc::no_address, now);
        watch.on_result({}, now);
        CHECK(watch.warnings() == 0);
    }
    SECTION("does not warn of one name while others are answered") {
        watch.on_result({}, now);
        watch.on_result(resolve_errc::server_failure, now + 9s);
        CHECK(watch.warnings() == 0);
        watch.on_result(resolve_errc::server_failure, now + 10s);
        CHECK(watch.warnings() == 1);
    }
}
