#include "protocol/link/dial/dns_servers.hpp"

#include "tests/catch.hpp"

using muxsocks::dns_servers;
using namespace std::chrono_literals;
using indices = std::vector<std::size_t>;

TEST_CASE("the order in which DNS servers are asked") {
    constexpr auto pause = dns_servers::probe_interval;
    const auto begin = dns_servers::clock::time_point() + 1h;
    dns_servers servers(3);
    const auto keep_silent = [&](std::size_t which, int times) {
        for (int i = 0; i < times; ++i)
            servers.on_silence(which, begin);
    };

    SECTION("is that of the configuration") {
        CHECK(servers.order() == indices{0, 1, 2});
        CHECK(servers.take_probe(begin) == 3);
    }
    SECTION("does not change for a lost datagram or two") {
        keep_silent(0, 2);
        CHECK(servers.order() == indices{0, 1, 2});
        servers.on_answer(0);
        keep_silent(0, 2);
        CHECK(servers.order() == indices{0, 1, 2});
    }
    SECTION("has silent ones last, in their order") {
        keep_silent(0, 3);
        CHECK(servers.order() == indices{1, 2, 0});
        keep_silent(1, 3);
        CHECK(servers.order() == indices{2, 0, 1});
        keep_silent(2, 3);
        CHECK(servers.order() == indices{0, 1, 2});
    }
    SECTION("stays so until the server answers a probe, one each interval") {
        keep_silent(0, 3);
        CHECK(servers.take_probe(begin + pause - 1ms) == 3);
        CHECK(servers.take_probe(begin + pause) == 0);
        CHECK(servers.take_probe(begin + pause) == 3);
        CHECK(servers.order() == indices{1, 2, 0});
        CHECK(servers.take_probe(begin + 2 * pause) == 0);
        servers.on_answer(0);
        CHECK(servers.order() == indices{0, 1, 2});
        CHECK(servers.take_probe(begin + 9 * pause) == 3);
    }
    SECTION("lets more silence change nothing of when the probe is due") {
        keep_silent(0, 3);
        servers.on_silence(0, begin + pause / 2);
        CHECK(servers.take_probe(begin + pause) == 0);
    }
}
