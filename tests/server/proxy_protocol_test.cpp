#include "server/proxy_protocol.hpp"

#include "tests/catch.hpp"
#include "tests/vectors/hex.hpp"

using namespace muxsocks;
using namespace muxsocks::server;
using tests::hex;
using status = proxy_header::status;

namespace {

const std::string signature = "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a ";
const std::string v4 = signature + "21 11 00 0c c0 00 02 07 c6 33 64 01 ab cd 01 bb";
const std::string v6_addresses = "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 07 "
                                 "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 ab cd 01 bb";

} // namespace

TEST_CASE("a PROXY header tells the client's address") {
    SECTION("of IPv4") {
        const auto header = parse_proxy_header(hex(v4));
        CHECK(header.result == status::done);
        CHECK(header.size == 28);
        CHECK_FALSE(header.local);
        CHECK(header.client->to_string() == "192.0.2.7");
    }
    SECTION("of IPv6") {
        const auto header = parse_proxy_header(hex(signature + "21 21 00 24 " + v6_addresses));
        CHECK(header.client->to_string() == "2001:db8::7");
    }
    SECTION("of IPv4 in the form of IPv6, which is that of IPv4") {
        const auto header =
            parse_proxy_header(hex(signature +
                                   "21 21 00 24 00 00 00 00 00 00 00 00 00 00 ff ff c0 "
                                   "00 02 07 " +
                                   v6_addresses.substr(48)));
        REQUIRE(header.result == status::done);
        CHECK(header.client->to_string() == "192.0.2.7");
    }
    SECTION("or none: of the load balancer itself, or of another family") {
        const auto local = parse_proxy_header(local_proxy_header());
        CHECK(local.result == status::done);
        CHECK(local.local);
        CHECK_FALSE(local.client);
        CHECK_FALSE(parse_proxy_header(hex(signature + "21 31 00 02 aa bb")).client);
    }
    SECTION("with TLVs and a connection behind it") {
        const auto header = parse_proxy_header(
            hex(signature + "21 11 00 10 c0 00 02 07 c6 33 64 01 ab cd 01 bb 04 00 01 00 16 03"));
        CHECK(header.result == status::done);
        CHECK(header.size == 32);
    }
}

TEST_CASE("of a PROXY header that has not come whole it is known how much to read") {
    const auto whole = hex(v4);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto header = parse_proxy_header(bytes_view(whole).first(size));
        CHECK(header.result == status::need_more);
        CHECK(header.size == (size < 16 ? 16 : whole.size()));
    }
}

TEST_CASE("what is no PROXY header of version 2 fails at its first wrong byte") {
    CHECK(parse_proxy_header(hex("16")).result == status::failed);
    CHECK(parse_proxy_header(hex("0d 0a 0d 0b")).result == status::failed);
    CHECK(parse_proxy_header(hex(signature + "11 11 00 0c")).result == status::failed);
    CHECK(parse_proxy_header(hex(signature + "22 11 00 0c")).result == status::failed);
    CHECK(parse_proxy_header(hex(signature + "21 11 08 01")).result == status::failed);
}
