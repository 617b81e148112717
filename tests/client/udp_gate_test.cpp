#include "client/udp_gate.hpp"

#include "tests/catch.hpp"

#include <boost/asio/ip/address.hpp>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;
using endpoint = udp_gate::endpoint;

endpoint at(const char* address, std::uint16_t port) {
    return {boost::asio::ip::make_address(address), port};
}

} // namespace

TEST_CASE("the gate of an association") {
    const udp_gate::time_point start{1h};
    udp_gate gate(boost::asio::ip::make_address("192.0.2.1"), {});
    SECTION("knows nobody before the first datagram") { CHECK_FALSE(gate.peer()); }
    SECTION("lets the host of the control connection in, and nobody else") {
        CHECK_FALSE(gate.admit(at("192.0.2.2", 1000), start));
        CHECK_FALSE(gate.peer());
        CHECK(gate.admit(at("192.0.2.1", 1000), start));
        CHECK(gate.peer() == at("192.0.2.1", 1000));
    }
    SECTION("is locked to the first port") {
        CHECK(gate.admit(at("192.0.2.1", 1000), start));
        CHECK_FALSE(gate.admit(at("192.0.2.1", 1001), start + 1s));
        CHECK(gate.admit(at("192.0.2.1", 1000), start + 29s));
        CHECK_FALSE(gate.admit(at("192.0.2.1", 1001), start + 58s));
        CHECK(gate.peer() == at("192.0.2.1", 1000));
    }
    SECTION("takes another port of the host once the first has been silent for 30 seconds") {
        CHECK(gate.admit(at("192.0.2.1", 1000), start));
        CHECK(gate.admit(at("192.0.2.1", 1001), start + 30s));
        CHECK(gate.peer() == at("192.0.2.1", 1001));
    }
}

TEST_CASE("what the request names") {
    const udp_gate::time_point start{1h};
    const auto host = boost::asio::ip::make_address("192.0.2.1");
    SECTION("counts where it is the host's, until a datagram comes") {
        udp_gate gate(host, at("192.0.2.1", 5000));
        CHECK(gate.peer() == at("192.0.2.1", 5000));
        CHECK(gate.admit(at("192.0.2.1", 6000), start));
        CHECK(gate.peer() == at("192.0.2.1", 6000));
    }
    SECTION("is nothing where it is another's, or has no port") {
        CHECK_FALSE(udp_gate(host, at("198.51.100.1", 5000)).peer());
        CHECK_FALSE(udp_gate(host, at("192.0.2.1", 0)).peer());
        CHECK_FALSE(udp_gate(host, at("0.0.0.0", 0)).peer());
    }
}

} // namespace muxsocks::client
