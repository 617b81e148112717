#include "protocol/link/loop/datagram_socket.hpp"

#include "tests/catch.hpp"

#include <boost/asio/ip/address.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <thread>
#include <vector>

namespace muxsocks {
namespace {

using namespace std::chrono_literals;
using outcome = datagram_socket::outcome;

struct two_sockets {
    asio::io_context context;
    datagram_socket a{context.get_executor()};
    datagram_socket b{context.get_executor()};

    two_sockets() {
        const asio::ip::udp::endpoint any(asio::ip::address_v4::loopback(), 0);
        REQUIRE_FALSE(a.bind(any));
        REQUIRE_FALSE(b.bind(any));
    }
    datagram_socket::received receive(bytes_span into, std::chrono::nanoseconds age_max = 0ns) {
        return b.receive({}, into, age_max);
    }
};

std::vector<std::uint8_t> bytes_of(std::size_t size) { return std::vector<std::uint8_t>(size, 7); }

} // namespace

TEST_CASE("a socket for datagrams") {
    two_sockets pair;
    std::vector<std::uint8_t> into(70'000);
    SECTION("has nothing at first, and says so at once") {
        CHECK(pair.receive(into).what == outcome::none);
    }
    SECTION("takes datagrams of all sizes, and tells whence they came") {
        for (const std::size_t size : {0U, 1U, 1'472U, 9'000U, 65'507U}) {
            REQUIRE_FALSE(pair.a.send({}, bytes_of(size), pair.b.local()));
            const auto got = pair.receive(into);
            CHECK(got.what == outcome::taken);
            CHECK(got.bytes == size);
            CHECK(got.from == pair.a.local());
        }
    }
    SECTION("sends many at once, whichever sizes and destinations they have") {
        datagram_socket third(pair.context.get_executor());
        REQUIRE_FALSE(third.bind({asio::ip::address_v4::loopback(), 0}));
        const std::array<std::uint8_t, 3> head{1, 2, 3};
        const auto payload = bytes_of(60'000);
        // Runs of one size, with a shorter and with a longer end; empty ones; too long ones.
        const std::vector<std::size_t> sizes{200, 200, 200, 50,     200,    1'472, 1'472, 1'473, 0,
                                             0,   1,   1,   20'000, 20'000, 300,   300,   300};
        for (const auto front : {bytes_view(), bytes_view(head)}) {
            std::vector<datagram_socket::outgoing> all;
            for (std::size_t i = 0; i < sizes.size(); ++i)
                all.push_back({bytes_view(payload).first(sizes[i]),
                               i % 17 == 15 ? third.local() : pair.b.local()});
            pair.a.send_all(front, all);
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                INFO(i);
                CHECK(all[i].sent);
                auto& at = i % 17 == 15 ? third : pair.b;
                const auto got = at.receive({}, into, 0ns);
                CHECK(got.what == outcome::taken);
                CHECK(got.bytes == front.size() + sizes[i]);
                CHECK(std::equal(front.begin(), front.end(), into.begin()));
            }
            CHECK(pair.receive(into).what == outcome::none);
        }
    }
    SECTION("sends a whole batch of one size") {
        const auto payload = bytes_of(1'000);
        const std::array<std::uint8_t, 3> head{1, 2, 3};
        for (const auto front : {bytes_view(), bytes_view(head)}) {
            std::vector<datagram_socket::outgoing> all(datagram_socket::batch_max,
                                                       {payload, pair.b.local()});
            pair.a.send_all(front, all);
            for (const auto& each : all) {
                CHECK(each.sent);
                CHECK(pair.receive(into).bytes == front.size() + 1'000);
            }
            CHECK(pair.receive(into).what == outcome::none);
        }
    }
    SECTION("sends them one by one where the kernel cuts none apart, and tries that no more") {
        // The kernel refuses segments without checksums with EINVAL, as it does where a path's
        // datagrams are too long.
        const int on = 1;
        REQUIRE(::setsockopt(pair.a.descriptor(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)) == 0);
        const auto payload = bytes_of(2'000);
        const auto limit_after = [&](std::size_t size) {
            std::vector<datagram_socket::outgoing> all(
                10, {bytes_view(payload).first(size), pair.b.local()});
            all[3].bytes = {};
            pair.a.send_all({}, all);
            for (const auto& each : all) {
                CHECK(each.sent);
                CHECK(pair.receive(into).bytes == each.bytes.size());
            }
            CHECK(pair.receive(into).what == outcome::none);
            return pair.a.segment_limit();
        };
        CHECK(pair.a.segment_limit() == 9'000);
        CHECK(limit_after(2'000) == 1'999);
        CHECK(limit_after(2'000) == 1'999);
        CHECK(limit_after(1'000) == 0);
        CHECK(limit_after(1'000) == 0);
    }
    SECTION("lays errors of the datagrams themselves to nobody else") {
        const auto payload = bytes_of(10);
        std::vector<datagram_socket::outgoing> all(
            10, {payload, {asio::ip::address_v4::loopback(), 0}});
        pair.a.send_all({}, all);
        CHECK_FALSE(std::ranges::any_of(all, &datagram_socket::outgoing::sent));
        CHECK(pair.a.segment_limit() == 9'000);
    }
    SECTION("goes on behind one that cannot be sent") {
        const auto payload = bytes_of(70'000);
        std::vector<datagram_socket::outgoing> all;
        for (const std::size_t size : {10U, 70'000U, 10U, 10U})
            all.push_back({bytes_view(payload).first(size), pair.b.local()});
        pair.a.send_all({}, all);
        CHECK(all[0].sent);
        CHECK_FALSE(all[1].sent);
        CHECK(all[2].sent);
        CHECK(all[3].sent);
        for (int i = 0; i < 3; ++i)
            CHECK(pair.receive(into).bytes == 10);
    }
    SECTION("puts the first bytes and the others where each belong") {
        const std::array<std::uint8_t, 3> front{1, 2, 3};
        REQUIRE_FALSE(pair.a.send(front, bytes_of(2), pair.b.local()));
        std::array<std::uint8_t, 3> head{};
        const auto got = pair.b.receive(head, into, 0ns);
        CHECK(got.bytes == 5);
        CHECK(head == front);
        CHECK(into[0] == 7);
    }
    SECTION("drops what does not fit") {
        REQUIRE_FALSE(pair.a.send({}, bytes_of(100), pair.b.local()));
        CHECK(pair.receive(bytes_span(into).first(99)).what == outcome::too_long);
        CHECK(pair.receive(into).what == outcome::none);
    }
    SECTION("drops what has waited for too long") {
        // The kernel begins to stamp datagrams a little after the first socket has asked for it;
        // what has none counts as new.
        const auto end = std::chrono::steady_clock::now() + 10s;
        auto what = outcome::none;
        while (what != outcome::too_old && std::chrono::steady_clock::now() < end) {
            REQUIRE_FALSE(pair.a.send({}, bytes_of(1), pair.b.local()));
            const auto sent = std::chrono::steady_clock::now();
            while (std::chrono::steady_clock::now() - sent < 3ms)
                std::this_thread::yield();
            what = pair.receive(into, 2ms).what;
        }
        CHECK(what == outcome::too_old);
        REQUIRE_FALSE(pair.a.send({}, bytes_of(1), pair.b.local()));
        CHECK(pair.receive(into, 10s).what == outcome::taken);
    }
    SECTION("counts what the kernel had no room for") {
        for (int i = 0; i < 40; ++i)
            (void)pair.a.send({}, bytes_of(60'000), pair.b.local());
        while (pair.receive(into).what != outcome::none) {
        }
        REQUIRE_FALSE(pair.a.send({}, bytes_of(1), pair.b.local()));
        CHECK(pair.receive(into).what == outcome::taken);
        CHECK(pair.b.dropped_by_kernel() > 0);
    }
    SECTION("does not stumble over a port where nobody is") {
        const auto gone = [&] {
            datagram_socket closed(pair.context.get_executor());
            REQUIRE_FALSE(closed.bind({asio::ip::address_v4::loopback(), 0}));
            return closed.local();
        }();
        for (int i = 0; i < 3; ++i)
            CHECK_FALSE(pair.b.send({}, bytes_of(1), gone));
        CHECK(pair.receive(into).what == outcome::none);
    }
}

TEST_CASE("a socket for both families speaks IPv4 as IPv4") {
    two_sockets pair;
    datagram_socket both(pair.context.get_executor());
    REQUIRE_FALSE(both.bind_any());
    const asio::ip::udp::endpoint reached(asio::ip::address_v4::loopback(), both.local().port());
    std::array<std::uint8_t, 10> into{};
    REQUIRE_FALSE(pair.a.send({}, bytes_of(1), reached));
    const auto got = both.receive({}, into, 0ns);
    CHECK(got.what == outcome::taken);
    CHECK(got.from == pair.a.local());
    REQUIRE_FALSE(both.send({}, bytes_of(1), pair.a.local()));
    CHECK(pair.a.receive({}, into, 0ns).from == reached);
    const auto payload = bytes_of(5);
    std::vector<datagram_socket::outgoing> all(3, {payload, pair.a.local()});
    both.send_all({}, all);
    for (const auto& each : all) {
        CHECK(each.sent);
        CHECK(pair.a.receive({}, into, 0ns).from == reached);
    }
}

} // namespace muxsocks
