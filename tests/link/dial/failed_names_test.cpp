#include "protocol/link/dial/failed_names.hpp"

#include "protocol/link/dial/resolve_error.hpp"
#include "tests/catch.hpp"

using namespace muxsocks;
using namespace std::chrono_literals;

TEST_CASE("names that failed") {
    const auto begin = failed_names::clock::time_point() + 1h;
    failed_names names;

    SECTION("are known for some seconds") {
        names.add("gone.example", resolve_errc::not_found, begin);
        names.add("dead.example", resolve_errc::timed_out, begin);
        CHECK(names.find("gone.example", begin + 4999ms) == resolve_errc::not_found);
        CHECK_FALSE(names.find("gone.example", begin + 5s));
        CHECK(names.find("dead.example", begin + 1999ms) == resolve_errc::timed_out);
        CHECK_FALSE(names.find("dead.example", begin + 2s));
        CHECK_FALSE(names.find("other.example", begin));
    }
    SECTION("fail for as long anew when they have failed again") {
        names.add("dead.example", resolve_errc::timed_out, begin);
        names.add("dead.example", resolve_errc::server_failure, begin + 1s);
        CHECK(names.find("dead.example", begin + 2999ms) == resolve_errc::server_failure);
        CHECK(names.size() == 1);
    }
    SECTION("are not those that this machine had no memory for, or that need no query") {
        names.add("a.example", std::make_error_code(std::errc::not_enough_memory), begin);
        names.add("b.example", resolve_errc::bad_name, begin);
        CHECK(names.size() == 0);
    }
    SECTION("are not more than a bound, the newest") {
        for (std::size_t i = 0; i < failed_names::names_max + 10; ++i)
            names.add("host" + std::to_string(i), resolve_errc::not_found, begin);
        CHECK(names.size() == failed_names::names_max);
        CHECK_FALSE(names.find("host9", begin));
        CHECK(names.find("host10", begin) == resolve_errc::not_found);
    }
    SECTION("may be forgotten") {
        names.add("gone.example", resolve_errc::not_found, begin);
        names.clear();
        CHECK_FALSE(names.find("gone.example", begin));
        names.add("gone.example", resolve_errc::not_found, begin);
        CHECK(names.size() == 1);
    }
}
