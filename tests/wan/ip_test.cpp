#include "tests/tools/wan/ip.hpp"

#include "tests/catch.hpp"
#include "tests/tools/wan/wan.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

using namespace muxsocks::tools;

namespace {

constexpr std::uint8_t tcp = 6;
constexpr std::uint8_t udp = 17;
constexpr std::uint8_t icmp = 1;
constexpr std::uint8_t icmpv6 = 58;

/// RFC 1071, written on its own: 0xffff over what a right checksum covers.
std::uint32_t ones_sum(std::span<const std::uint8_t> bytes, std::uint32_t sum = 0) {
    for (std::size_t at = 0; at < bytes.size(); ++at)
        sum += at % 2 == 0 ? bytes[at] * 256U : bytes[at];
    while (sum > 0xffff)
        sum = (sum & 0xffff) + sum / 65536;
    return sum;
}

bool checksums_are_right(const packet& what) {
    const auto bytes = what.bytes();
    const bool four = bytes[0] / 16 == 4;
    const std::size_t header = four ? 20 : 40;
    const auto transport = bytes.subspan(header);
    const std::uint8_t protocol = four ? bytes[9] : bytes[6];
    if (four && ones_sum(bytes.first(20)) != 0xffff) return false;
    if (protocol == icmp) return ones_sum(transport) == 0xffff;
    const auto addresses = four ? bytes.subspan(12, 8) : bytes.subspan(8, 32);
    const auto pseudo =
        ones_sum(addresses) + protocol + static_cast<std::uint32_t>(transport.size());
    return ones_sum(transport, pseudo) == 0xffff;
}

void set_checksum(packet& what, std::size_t at, std::span<const std::uint8_t> covered,
                  std::uint32_t more) {
    what.storage[at] = what.storage[at + 1] = 0;
    const std::uint32_t value = ~ones_sum(covered, more) & 0xffff;
    what.storage[at] = static_cast<std::uint8_t>(value / 256);
    what.storage[at + 1] = static_cast<std::uint8_t>(value);
}

/// A right packet of that size from 10.77.0.1 to 10.77.0.2, or fd77::1 to fd77::2.
packet_ptr make_packet(unsigned version, std::uint8_t protocol, std::size_t size) {
    packet_ptr made(new packet);
    made->size = size;
    const auto bytes = made->bytes();
    std::iota(bytes.begin(), bytes.end(), std::uint8_t{3});
    const std::size_t header = version == 4 ? 20 : 40;
    std::fill_n(bytes.begin(), header, std::uint8_t{0});
    bytes[0] = static_cast<std::uint8_t>(version * 16 + (version == 4 ? 5 : 0));
    const std::size_t length = version == 4 ? size : size - header;
    const std::size_t length_at = version == 4 ? 2 : 4;
    bytes[length_at] = static_cast<std::uint8_t>(length / 256);
    bytes[length_at + 1] = static_cast<std::uint8_t>(length);
    bytes[version == 4 ? 9 : 6] = protocol;
    const auto from = parse_ip_address(version == 4 ? "10.77.0.1" : "fd77::1");
    const auto to = parse_ip_address(version == 4 ? "10.77.0.2" : "fd77::2");
    const std::size_t addresses = version == 4 ? 12 : 8;
    std::copy(from.begin(), from.end(), bytes.begin() + static_cast<std::ptrdiff_t>(addresses));
    std::copy(to.begin(), to.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(addresses + from.size()));
    if (version == 4) set_checksum(*made, 10, bytes.first(20), 0);
    const std::size_t at = header + (protocol == tcp ? 16U : protocol == udp ? 6U : 2U);
    const auto pseudo = ones_sum(bytes.subspan(addresses, 2 * from.size())) + protocol +
                        static_cast<std::uint32_t>(size - header);
    set_checksum(*made, at, bytes.subspan(header), protocol == icmp ? 0 : pseudo);
    return made;
}

bool is(std::span<const std::uint8_t> field, const char* address) {
    return std::ranges::equal(field, parse_ip_address(address));
}

} // namespace

TEST_CASE("an address that is put in the place of another") {
    const auto [version, protocol] = GENERATE(
        std::pair<unsigned, std::uint8_t>{4, tcp}, std::pair<unsigned, std::uint8_t>{4, udp},
        std::pair<unsigned, std::uint8_t>{4, icmp}, std::pair<unsigned, std::uint8_t>{6, tcp},
        std::pair<unsigned, std::uint8_t>{6, udp}, std::pair<unsigned, std::uint8_t>{6, icmpv6});
    const char* const other = version == 4 ? "192.0.2.250" : "2001:db8:ffff::abcd";
    const auto made = make_packet(version, protocol, 101);
    REQUIRE(checksums_are_right(*made));
    const auto which = GENERATE(address_field::source, address_field::destination);
    replace_address(made->bytes(), which, parse_ip_address(other));
    CHECK(is(address_of(made->bytes(), which), other));
    CHECK(checksums_are_right(*made));
}

TEST_CASE("an address of the other family changes nothing") {
    const auto made = make_packet(4, tcp, 60);
    replace_address(made->bytes(), address_field::source, parse_ip_address("2001:db8::1"));
    CHECK(is(address_of(made->bytes(), address_field::source), "10.77.0.1"));
}

TEST_CASE("a datagram without checksum keeps having none") {
    const auto made = make_packet(4, udp, 60);
    made->storage[26] = made->storage[27] = 0;
    replace_address(made->bytes(), address_field::source, parse_ip_address("192.0.2.1"));
    CHECK(made->storage[26] == 0);
    CHECK(made->storage[27] == 0);
}

TEST_CASE("short and foreign packets have no addresses") {
    CHECK(address_of({}, address_field::source).empty());
    CHECK(address_of(std::array<std::uint8_t, 3>{0x45, 0, 0}, address_field::source).empty());
    CHECK(address_of(std::array<std::uint8_t, 30>{0x60}, address_field::source).empty());
    CHECK(address_of(std::array<std::uint8_t, 60>{0x20}, address_field::source).empty());
    packet answer;
    CHECK_FALSE(make_too_big(std::array<std::uint8_t, 60>{0x20}, 1300, answer));
}

TEST_CASE("a sender that is told that its packet is too big") {
    packet answer;
    SECTION("over IPv4 gets its header and eight bytes more") {
        const auto made = make_packet(4, tcp, 1400);
        REQUIRE(make_too_big(made->bytes(), 1300, answer));
        REQUIRE(answer.size == 20 + 8 + 28);
        CHECK(checksums_are_right(answer));
        CHECK(is(address_of(answer.bytes(), address_field::destination), "10.77.0.1"));
        CHECK(answer.storage[20] == 3);
        CHECK(answer.storage[21] == 4);
        CHECK(answer.storage[26] * 256 + answer.storage[27] == 1300);
        CHECK(std::ranges::equal(answer.bytes().subspan(28), made->bytes().first(28)));
    }
    SECTION("over IPv6 gets as much as fits") {
        const auto made = make_packet(6, tcp, 1400);
        REQUIRE(make_too_big(made->bytes(), 1300, answer));
        REQUIRE(answer.size == 1280);
        CHECK(checksums_are_right(answer));
        CHECK(is(address_of(answer.bytes(), address_field::destination), "fd77::1"));
        CHECK(answer.storage[40] == 2);
        CHECK(answer.storage[46] * 256 + answer.storage[47] == 1300);
        CHECK(std::ranges::equal(answer.bytes().subspan(48), made->bytes().first(1232)));
    }
}

TEST_CASE("a WAN") {
    wan carried(1);
    const time_point now{};

    SECTION("carries packets to the other side") {
        carried.on_packet(side::near, make_packet(4, tcp, 60), now);
        CHECK(carried.next_for(side::near, now) == nullptr);
        CHECK(carried.next_for(side::far, now) != nullptr);
        CHECK(carried.next_for(side::far, now) == nullptr);
    }
    SECTION("tells the sender of what is too big, and only if it is set so") {
        carried.from(side::near).settings.mtu = 1300;
        carried.on_packet(side::near, make_packet(4, tcp, 1400), now);
        CHECK(carried.next_for(side::near, now) == nullptr);
        carried.from(side::near).settings.mtu_is_told = true;
        carried.on_packet(side::near, make_packet(4, tcp, 1400), now);
        CHECK(carried.next_for(side::near, now) != nullptr);
        CHECK(carried.next_for(side::far, now) == nullptr);
    }
    SECTION("shows a translated host by its other address, both ways") {
        carried.translations.push_back(
            {side::near, parse_ip_address("10.77.0.1"), parse_ip_address("192.0.2.1")});
        carried.on_packet(side::near, make_packet(4, tcp, 60), now);
        const auto seen = carried.next_for(side::far, now);
        REQUIRE(seen != nullptr);
        CHECK(is(address_of(seen->bytes(), address_field::source), "192.0.2.1"));

        auto back = make_packet(4, tcp, 60);
        replace_address(back->bytes(), address_field::destination, parse_ip_address("192.0.2.1"));
        carried.on_packet(side::far, std::move(back), now);
        const auto arrived = carried.next_for(side::near, now);
        REQUIRE(arrived != nullptr);
        CHECK(is(address_of(arrived->bytes(), address_field::destination), "10.77.0.1"));
        CHECK(checksums_are_right(*arrived));

        auto old = make_packet(4, tcp, 60);
        replace_address(old->bytes(), address_field::destination, parse_ip_address("10.77.0.1"));
        carried.on_packet(side::far, std::move(old), now);
        CHECK(carried.next_for(side::near, now) == nullptr);
        CHECK(carried.statistics().find("\"found_nobody\": 1") != std::string::npos);
    }
}
