#include "protocol/link/loop/outgoing_datagrams.hpp"

#include "tests/catch.hpp"

#include <array>
#include <vector>

namespace muxsocks {

TEST_CASE("datagrams that leave together") {
    asio::io_context context;
    datagram_socket from(context.get_executor());
    datagram_socket to(context.get_executor());
    const asio::ip::udp::endpoint any(asio::ip::address_v4::loopback(), 0);
    REQUIRE_FALSE(from.bind(any));
    REQUIRE_FALSE(to.bind(any));
    const std::array<std::uint8_t, 1> head{9};
    const std::vector<std::uint8_t> payload(10, 7);
    std::array<std::uint8_t, 100> into{};
    outgoing_datagrams all{bytes_view(head)};
    const auto arrived = [&] {
        std::size_t count = 0;
        while (to.receive({}, into, {}).what == datagram_socket::outcome::taken) {
            CHECK(into[0] == 9);
            ++count;
        }
        return count;
    };
    std::size_t sent = 0;
    const auto send = [&] {
        all.send(from, [&](const auto& one) {
            CHECK(one.to == to.local());
            sent += one.sent;
        });
    };
    SECTION("are sent with what belongs in front, and each is told of") {
        for (int batch = 0; batch < 3; ++batch) {
            CHECK(all.empty());
            CHECK(all.add(payload, to.local()));
            CHECK_FALSE(all.add(payload, to.local()));
            send();
            all.end();
            CHECK(arrived() == 2);
        }
        CHECK(sent == 6);
    }
    SECTION("say once in a batch that they are to be sent, however many there are") {
        std::size_t firsts = 0;
        for (std::size_t i = 0; i < 2 * datagram_socket::batch_max + 1; ++i) {
            if (all.full()) send();
            firsts += all.add(payload, to.local());
        }
        CHECK(firsts == 1);
        send();
        all.end();
        CHECK(sent == 2 * datagram_socket::batch_max + 1);
        CHECK(arrived() == sent);
        CHECK(all.add(payload, to.local()));
    }
    SECTION("are gone where nobody has sent them") {
        CHECK(all.add(payload, to.local()));
        all.end();
        CHECK(all.empty());
        send();
        CHECK(arrived() == 0);
    }
    SECTION("of several that collect at once keep apart") {
        outgoing_datagrams others;
        CHECK(all.add(payload, to.local()));
        CHECK(others.add(payload, from.local()));
        CHECK_FALSE(all.add(payload, to.local()));
        send();
        others.end();
        all.end();
        CHECK(arrived() == 2);
    }
}

} // namespace muxsocks
