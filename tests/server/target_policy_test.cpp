#include "server/target_policy.hpp"

#include "tests/catch.hpp"

#include <string>
#include <vector>

using namespace muxsocks;
using namespace muxsocks::server;

namespace {

/// Addresses of the server's own in these tests.
constexpr const char* own_v4 = "8.8.4.4";
constexpr const char* own_v6 = "2606:4700::9";

own_addresses own_list() {
    return own_addresses({boost::asio::ip::make_address(own_v4),
                          boost::asio::ip::make_address(own_v6),
                          boost::asio::ip::make_address("169.254.7.7")});
}

std::vector<network> networks(std::initializer_list<const char*> texts) {
    std::vector<network> result;
    for (const char* text : texts)
        result.push_back(parse_network(text).value());
    return result;
}

/// The refusal's sentence, empty if the target is allowed.
std::string refusal(const destination_settings& rules, const std::string& address,
                    std::uint16_t port = 443) {
    own_addresses own = own_list();
    const target_policy policy(rules);
    const auto target = boost::asio::ip::make_address(address);
    const auto sentence = policy.refusal(target, port, own);
    CHECK((!sentence || !sentence->empty()));
    return sentence.value_or("");
}

bool allows(const destination_settings& rules, const std::string& address,
            std::uint16_t port = 443) {
    CAPTURE(address);
    return refusal(rules, address, port).empty();
}

const std::vector<std::string> public_addresses{
    "1.1.1.1",          "8.8.8.8",         "9.255.255.255",     "11.0.0.0",
    "100.63.255.255",   "100.128.0.0",     "126.255.255.255",   "128.0.0.0",
    "169.253.255.255",  "169.255.0.0",     "172.15.255.255",    "172.32.0.0",
    "192.0.1.0",        "192.0.3.0",       "192.167.255.255",   "192.169.0.0",
    "198.17.255.255",   "198.20.0.0",      "223.255.255.255",   "2606:4700::1111",
    "2001:200::1",      "2001:4860::8888", "2a00:1450:4001::1", "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8", "2002:808:808::1", "2001:db7::1",       "2001:db9::1"};

/// Private, loopback and own: what allow_private lifts.
const std::vector<std::string> liftable_addresses{"10.0.0.1",
                                                  "10.255.255.255",
                                                  "127.0.0.1",
                                                  "127.255.255.255",
                                                  "172.16.0.0",
                                                  "172.31.255.255",
                                                  "192.168.0.1",
                                                  "192.168.255.255",
                                                  "::1",
                                                  "fc00::1",
                                                  "fd12:3456:789a::1",
                                                  "fdff::1",
                                                  "::ffff:127.0.0.1",
                                                  "::ffff:10.1.2.3",
                                                  "64:ff9b::127.0.0.1",
                                                  "64:ff9b::c0a8:1",
                                                  "2002:a00:1::1",
                                                  "2002:7f00:1::",
                                                  own_v4,
                                                  own_v6,
                                                  "::ffff:8.8.4.4",
                                                  "64:ff9b::8.8.4.4",
                                                  "2002:808:404::1"};

/// What only a rule in `allow` permits.
const std::vector<std::string> special_addresses{"0.0.0.0",
                                                 "0.1.2.3",
                                                 "100.64.0.1",
                                                 "100.100.100.200",
                                                 "100.127.255.255",
                                                 "169.254.0.1",
                                                 "169.254.169.254",
                                                 "169.254.7.7",
                                                 "168.63.129.16",
                                                 "192.0.0.1",
                                                 "192.0.0.192",
                                                 "192.0.2.1",
                                                 "192.88.99.1",
                                                 "198.18.0.1",
                                                 "198.19.255.255",
                                                 "198.51.100.1",
                                                 "203.0.113.1",
                                                 "224.0.0.1",
                                                 "239.255.255.255",
                                                 "240.0.0.1",
                                                 "255.255.255.255",
                                                 "::",
                                                 "::2",
                                                 "::127.0.0.1",
                                                 "::8.8.8.8",
                                                 "64:ff9b:1::1",
                                                 "64:ff9b:1::8.8.8.8",
                                                 "100::1",
                                                 "fe80::1",
                                                 "febf::1",
                                                 "fec0::1",
                                                 "feff::1",
                                                 "ff02::1",
                                                 "ff0e::1",
                                                 "2001::1",
                                                 "2001:0:53aa:64c::1",
                                                 "2001:2::1",
                                                 "2001:10::1",
                                                 "2001:1ff::1",
                                                 "2001:db8::1",
                                                 "3fff::1",
                                                 "4000::1",
                                                 "5f00::1",
                                                 "1::1",
                                                 "::ffff:0.0.0.0",
                                                 "::ffff:169.254.169.254",
                                                 "64:ff9b::a9fe:a9fe",
                                                 "2002:a9fe:a9fe::1",
                                                 "2002:e000:1::1",
                                                 "64:ff9b::e000:1",
                                                 "fd00:ec2::254",
                                                 "fd20:ce::254",
                                                 "fd00:42::42",
                                                 "fd00:c1::a9fe:a9fe"};

} // namespace

TEST_CASE("without rules") {
    SECTION("public addresses are allowed") {
        for (const std::string& address : public_addresses)
            CHECK(allows({}, address));
    }
    SECTION("all others are not") {
        for (const std::string& address : liftable_addresses)
            CHECK_FALSE(allows({}, address));
        for (const std::string& address : special_addresses)
            CHECK_FALSE(allows({}, address));
    }
    SECTION("all ports are allowed but 25") {
        CHECK(allows({}, "8.8.8.8", 0));
        CHECK(allows({}, "8.8.8.8", 24));
        CHECK(allows({}, "8.8.8.8", 26));
        CHECK(allows({}, "8.8.8.8", 65535));
        CHECK(refusal({}, "8.8.8.8", 25) ==
              "port 25 is for mail between servers, which open proxies are abused for; "
              "destinations.ports can permit it, as in [\"1-65535\"]");
    }
}

TEST_CASE("allow_private") {
    destination_settings rules;
    rules.allow_private = true;

    SECTION("lifts private, loopback and own addresses") {
        for (const std::string& address : liftable_addresses)
            CHECK(allows(rules, address));
        for (const std::string& address : public_addresses)
            CHECK(allows(rules, address));
    }
    SECTION("lifts nothing else: no link-local address, no metadata service") {
        for (const std::string& address : special_addresses)
            CHECK_FALSE(allows(rules, address));
    }
    SECTION("is under the rules of deny") {
        rules.deny = networks({"10.1.0.0/16", "fd00::/8"});
        CHECK_FALSE(allows(rules, "10.1.2.3"));
        CHECK_FALSE(allows(rules, "::ffff:10.1.2.3"));
        CHECK_FALSE(allows(rules, "64:ff9b::10.1.2.3"));
        CHECK_FALSE(allows(rules, "2002:a01:203::1"));
        CHECK_FALSE(allows(rules, "fd00::1"));
        CHECK(allows(rules, "10.2.0.1"));
    }
}

TEST_CASE("allow") {
    destination_settings rules;

    SECTION("may name any range") {
        for (const std::string& address : special_addresses) {
            rules.allow = networks({"0.0.0.0/0", "::/0"});
            CHECK(allows(rules, address));
        }
        rules.allow = networks({"127.0.0.1", "169.254.169.254"});
        CHECK(allows(rules, "127.0.0.1"));
        CHECK(allows(rules, "169.254.169.254"));
        CHECK_FALSE(allows(rules, "127.0.0.2"));
        CHECK_FALSE(allows(rules, "::1"));
    }
    SECTION("counts for IPv4 in its IPv6 forms too") {
        rules.allow = networks({"10.0.0.0/8"});
        CHECK(allows(rules, "::ffff:10.0.0.1"));
        CHECK(allows(rules, "64:ff9b::10.0.0.1"));
        CHECK(allows(rules, "2002:a00:1::1"));
        CHECK_FALSE(allows(rules, "64:ff9b::192.168.0.1"));
    }
    SECTION("takes nothing away from what is allowed anyway") {
        rules.allow = networks({"10.0.0.0/8"});
        CHECK(allows(rules, "8.8.8.8"));
    }
    SECTION("is under the rules of deny") {
        rules.allow = networks({"10.0.0.0/8"});
        rules.deny = networks({"10.0.0.0/16"});
        CHECK_FALSE(allows(rules, "10.0.0.1"));
        CHECK(allows(rules, "10.1.0.1"));
    }
    SECTION("does not open other ports") {
        rules.allow = networks({"10.0.0.0/8"});
        rules.ports = {{.first = 443, .last = 443}};
        CHECK(allows(rules, "10.0.0.1", 443));
        CHECK_FALSE(allows(rules, "10.0.0.1", 22));
    }
}

TEST_CASE("deny") {
    destination_settings rules;
    rules.deny = networks({"8.8.0.0/16", "2606:4700::/32", "64:ff9b::101:0/112"});

    SECTION("takes public addresses away") {
        CHECK_FALSE(allows(rules, "8.8.8.8"));
        CHECK_FALSE(allows(rules, "2606:4700::1111"));
        CHECK(allows(rules, "9.9.9.9"));
    }
    SECTION("counts for IPv4 in its IPv6 forms too") {
        CHECK_FALSE(allows(rules, "::ffff:8.8.8.8"));
        CHECK_FALSE(allows(rules, "64:ff9b::8.8.8.8"));
        CHECK_FALSE(allows(rules, "2002:808:808::1"));
    }
    SECTION("may name one IPv6 form alone") {
        CHECK_FALSE(allows(rules, "64:ff9b::1.1.1.1"));
        CHECK(allows(rules, "1.1.1.1"));
    }
    SECTION("may be everything") {
        rules.deny = networks({"0.0.0.0/0", "::/0"});
        for (const std::string& address : public_addresses)
            CHECK_FALSE(allows(rules, address));
    }
}

TEST_CASE("the general deny holds in front of a user's own rules") {
    own_addresses own = own_list();
    destination_settings rules;
    rules.deny = networks({"8.8.8.8"});
    rules.allow = networks({"10.0.0.0/8", "9.9.9.9"});
    const target_policy policy(rules, "users[0].destinations",
                               networks({"10.1.0.0/16", "9.9.9.9"}));
    const auto refused = [&](const char* address) {
        return policy.refusal(boost::asio::ip::make_address(address), 443, own).value_or("");
    };
    CHECK(refused("10.1.2.3") == "10.1.2.3 is denied by \"10.1.0.0/16\" in destinations.deny");
    CHECK(refused("9.9.9.9") == "9.9.9.9 is denied by \"9.9.9.9\" in destinations.deny");
    CHECK(refused("8.8.8.8") == "8.8.8.8 is denied by \"8.8.8.8\" in users[0].destinations.deny");
    CHECK(refused("10.2.0.1").empty());
    SECTION("and each is counted as whose it is") {
        const auto rule = [&](const char* address, std::uint16_t port = 443) {
            return policy.rule_refused(boost::asio::ip::make_address(address), port, own);
        };
        CHECK(rule("9.9.9.9") == denied_by::deny);
        CHECK(rule("8.8.8.8") == denied_by::user);
        CHECK(rule("1.1.1.1", 25) == denied_by::user);
        CHECK(rule("192.168.0.1") == denied_by::not_public);
        const target_policy general(rules);
        CHECK(general.rule_refused(boost::asio::ip::make_address("8.8.8.8"), 443, own) ==
              denied_by::deny);
        CHECK(general.rule_refused(boost::asio::ip::make_address("1.1.1.1"), 25, own) ==
              denied_by::port);
    }
}

TEST_CASE("ports") {
    SECTION("may have 25 among them") {
        destination_settings all;
        all.ports = {{.first = 1, .last = 65535}};
        CHECK(allows(all, "8.8.8.8", 25));
    }
    destination_settings rules;
    rules.ports = {{.first = 80, .last = 80}, {.first = 8000, .last = 8099}};
    using ports = std::vector<std::uint16_t>;
    for (const std::uint16_t port : ports{80, 8000, 8042, 8099})
        CHECK(allows(rules, "8.8.8.8", port));
    for (const std::uint16_t port : ports{0, 79, 81, 443, 7999, 8100}) {
        CHECK_FALSE(allows(rules, "8.8.8.8", port));
    }
    CHECK_FALSE(allows(rules, "10.0.0.1", 80));
}

TEST_CASE("a refusal names what forbids, and the key that would allow") {
    destination_settings rules;
    rules.deny = networks({"1.1.1.0/24"});
    rules.ports = {{.first = 443, .last = 443}};

    CHECK(refusal(rules, "1.1.1.1") == "1.1.1.1 is denied by \"1.1.1.0/24\" in destinations.deny");
    CHECK(refusal(rules, "8.8.8.8", 25) == "port 25 is not in destinations.ports");
    CHECK(refusal(rules, "127.0.0.1") ==
          "127.0.0.1 is a loopback address; \"allow_private\": true in destinations, or its range "
          "in destinations.allow, would permit it");
    CHECK(refusal(rules, "224.0.0.1") ==
          "224.0.0.1 is a multicast address; its range in destinations.allow would permit it");
    CHECK(refusal(rules, own_v4).find("the server itself") != std::string::npos);
    CHECK(refusal(rules, "169.254.169.254").find("metadata") != std::string::npos);

    own_addresses own = own_list();
    const target_policy of_user(rules, "users[3].destinations");
    CHECK(of_user.refusal(boost::asio::ip::make_address("10.0.0.1"), 443, own)
              ->find("users[3].destinations.allow") != std::string::npos);
}

TEST_CASE("the addresses of this machine") {
    own_addresses own;
    CHECK(own.contains(boost::asio::ip::make_address("127.0.0.1")));
    CHECK_FALSE(own.contains(boost::asio::ip::make_address("192.0.2.255")));
}

TEST_CASE("the range of a refused target, and the key that would allow it, without the target") {
    destination_settings rules;
    rules.deny = {*parse_network("1.1.1.0/24")};
    rules.ports = {{443, 443}};
    const target_policy policy(rules);
    own_addresses own({boost::asio::ip::make_address("8.8.4.4")});
    const auto range = [&](const char* address, std::uint16_t port = 443) {
        return policy.range_refused(boost::asio::ip::make_address(address), port, own);
    };
    CHECK(range("8.8.8.8").empty());
    CHECK(range("192.168.7.9") ==
          "a target in 192.168.0.0/16, a private address; \"allow_private\": true in destinations, "
          "or its range in destinations.allow, would permit it");
    CHECK(range("169.254.1.1").find("a target in 169.254.0.0/16, a link-local address") == 0);
    CHECK(range("1.1.1.1") == "a target in 1.1.1.0/24, which is in destinations.deny");
    CHECK(range("8.8.8.8", 25) == "a port that is not in destinations.ports");
    CHECK(range("8.8.4.4").find("a target, an address of the server itself; ") == 0);
}
