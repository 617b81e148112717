#include "protocol/link/dial/resolv_conf.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

using namespace muxsocks;
using namespace muxsocks::test;
using texts = std::vector<std::string>;

namespace {

texts servers_of(const std::string& text) {
    texts servers;
    for (const auto& address : parse_resolv_conf(text).servers)
        servers.push_back(address.to_string());
    return servers;
}

} // namespace

TEST_CASE("the DNS servers of /etc/resolv.conf") {
    SECTION("stand in its order, with remarks and options between them") {
        CHECK(servers_of("# a remark\n; another\nnameserver 192.0.2.53\noptions ndots:5\n"
                         "nameserver\t2001:db8::53  # ours\n\nnameserver 192.0.2.54\n") ==
              texts{"192.0.2.53", "2001:db8::53", "192.0.2.54"});
    }
    SECTION("may be link-local ones") {
        CHECK(servers_of("nameserver fe80::1%lo\n") == texts{"fe80::1%lo"});
    }
    SECTION("that are no addresses are skipped") {
        CHECK(servers_of("nameserver\nnameserver dns.example\nnameserver 192.0.2.1\n") ==
              texts{"192.0.2.1"});
    }
    SECTION("are this machine's own if there are none") {
        CHECK(servers_of("") == texts{"127.0.0.1"});
        CHECK(servers_of("#nameserver 192.0.2.1\n") == texts{"127.0.0.1"});
    }
}

TEST_CASE("the search domains of /etc/resolv.conf") {
    SECTION("are those of the last line of either kind") {
        CHECK(parse_resolv_conf("search a.example b.example\n").search ==
              texts{"a.example", "b.example"});
        CHECK(parse_resolv_conf("search a.example b.example\ndomain c.example\n").search ==
              texts{"c.example"});
    }
    SECTION("are none without such a line, whatever this host is called") {
        CHECK(parse_resolv_conf("nameserver 192.0.2.1\n").search.empty());
    }
    SECTION("may come from the environment, and the file need not be there") {
        const environment_variable domains("LOCALDOMAIN", "d.example e.example");
        CHECK(read_resolv_conf("/nowhere/resolv.conf").search == texts{"d.example", "e.example"});
    }
}

TEST_CASE("candidates for a name") {
    const auto listed = parse_resolv_conf("search Corp.Example example.\n");

    SECTION("without a dot stand under each domain, and last for themselves") {
        CHECK(listed.candidates("DB") == texts{"db.corp.example", "db.example", "db"});
    }
    SECTION("with a dot are one") { CHECK(listed.candidates("db.Prod") == texts{"db.prod"}); }
    SECTION("with a final dot are one") {
        CHECK(listed.candidates("db.") == texts{"db"});
        CHECK(listed.candidates("www.example.org.") == texts{"www.example.org"});
    }
    SECTION("that would be too long are left out") {
        const std::string label(63, 'x');
        const std::string far = label + '.' + label + '.' + label + '.' + label;
        CHECK(parse_resolv_conf("search " + far + " b\n").candidates("db") == texts{"db.b", "db"});
    }
    SECTION("are one without domains") {
        CHECK(parse_resolv_conf("").candidates("db") == texts{"db"});
    }
}
