#include "server/udp_rules.hpp"

#include "tests/catch.hpp"

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

udp_rules::endpoint udp_at(const char* address, std::uint16_t port = 53) {
    return {boost::asio::ip::make_address(address), port};
}

std::shared_ptr<const target_policy> policy_of(const destination_settings& rules) {
    return std::make_shared<const target_policy>(rules);
}

} // namespace

TEST_CASE("datagrams go where the destination rules allow") {
    own_addresses own(std::vector<boost::asio::ip::address>{});
    destination_settings rules;
    rules.ports = {{53, 53}, {443, 443}};
    udp_settings settings;
    settings.deny_ports = {{443, 443}};
    udp_rules tested(policy_of(rules), settings, own);
    const udp_rules::time_point start{1h};
    CHECK(tested.may_send(udp_at("8.8.8.8"), start));
    CHECK(tested.may_receive(udp_at("8.8.8.8"), start));
    SECTION("not to addresses that are not public") {
        CHECK_FALSE(tested.may_send(udp_at("10.0.0.1"), start));
        CHECK_FALSE(tested.may_send(udp_at("169.254.169.254"), start));
        CHECK_FALSE(tested.may_receive(udp_at("127.0.0.1"), start));
    }
    SECTION("not to other ports, or those that UDP has not") {
        CHECK_FALSE(tested.may_send(udp_at("8.8.8.8", 54), start));
        CHECK_FALSE(tested.may_send(udp_at("8.8.8.8", 443), start));
        CHECK_FALSE(tested.may_send(udp_at("8.8.8.8", 0), start));
    }
}

TEST_CASE("no rule allows datagrams to many at once") {
    own_addresses own(std::vector<boost::asio::ip::address>{});
    destination_settings rules;
    rules.allow = {parse_network("0.0.0.0/0").value(), parse_network("::/0").value()};
    udp_rules tested(policy_of(rules), {}, own);
    const udp_rules::time_point start{1h};
    CHECK(tested.may_send(udp_at("10.0.0.1"), start));
    for (const auto address :
         {"224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1", "0.0.0.0", "::"})
        CHECK_FALSE(tested.may_send(udp_at(address), start));
}

TEST_CASE("a verdict is remembered, but not for ever") {
    own_addresses own(std::vector<boost::asio::ip::address>{});
    udp_rules tested(policy_of({}), {}, own);
    const udp_rules::time_point start{1h};
    // More than there is room for, each judged rightly.
    for (int round = 0; round < 2; ++round)
        for (unsigned i = 0; i < 1'000; ++i) {
            const boost::asio::ip::address_v4 address((i % 2 == 0 ? 0x08080000U : 0x0a000000U) + i);
            CHECK(tested.may_send({address, 53}, start + round * 20s) == (i % 2 == 0));
        }
}

TEST_CASE("with the filter \"contacted\" only who was sent to may answer") {
    own_addresses own(std::vector<boost::asio::ip::address>{});
    udp_settings settings;
    settings.filter = udp_filter::contacted;
    udp_rules tested(policy_of({}), settings, own);
    const udp_rules::time_point start{1h};
    CHECK_FALSE(tested.may_receive(udp_at("8.8.8.8"), start));
    tested.on_sent(udp_at("8.8.8.8"));
    CHECK(tested.may_receive(udp_at("8.8.8.8"), start));
    CHECK(tested.may_receive(udp_at("8.8.8.8", 5000), start));
    CHECK_FALSE(tested.may_receive(udp_at("8.8.4.4"), start));
}

} // namespace muxsocks::server
