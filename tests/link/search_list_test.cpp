#include "protocol/link/search_list.hpp"

#include "tests/catch.hpp"

using muxsocks::search_list;
using names = std::vector<std::string>;

TEST_CASE("the names that a name stands for") {
    const search_list list{.domains = {"Corp.Example", "example."}, .dots_min = 1};

    SECTION("without enough dots begin with the domains") {
        CHECK(list.candidates("db") == names{"db.corp.example", "db.example", "db"});
    }
    SECTION("with enough dots begin with the name itself") {
        CHECK(list.candidates("db.Prod") ==
              names{"db.prod", "db.prod.corp.example", "db.prod.example"});
    }
    SECTION("are one if the name ends in a dot") {
        CHECK(list.candidates("db.") == names{"db"});
        CHECK(list.candidates("db.prod.") == names{"db.prod"});
    }
    SECTION("follow ndots") {
        const search_list cluster{.domains = {"svc.cluster.local"}, .dots_min = 5};
        CHECK(cluster.candidates("db.prod") == names{"db.prod.svc.cluster.local", "db.prod"});
    }
    SECTION("leave out those that are too long") {
        const std::string label(63, 'a');
        const std::string longest = label + '.' + label + '.' + label;
        const search_list far{.domains = {label, "b"}, .dots_min = 1};
        CHECK(far.candidates(longest) == names{longest, longest + ".b"});
    }
    SECTION("are one without domains") { CHECK(search_list{}.candidates("db") == names{"db"}); }
}

TEST_CASE("the system's configuration can be read") {
    const auto system = muxsocks::read_system_dns();
    CHECK(system.servers >= 1);
    CHECK_FALSE(system.search.candidates("a.example").empty());
}
