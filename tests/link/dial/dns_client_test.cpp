#include "protocol/link/dial/dns_client.hpp"

#include "protocol/link/dial/resolve_error.hpp"
#include "tests/catch.hpp"
#include "tests/link/dial/test_dns_server.hpp"
#include "tests/link/test_network.hpp"

#include <optional>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

namespace {

struct fixture {
    asio::io_context context{1};
    deadlines clock{context};
    dns_server first{context};
    dns_server second{context};
    std::optional<dns_client> client;
    std::error_code error;
    std::vector<asio::ip::address> found;

    fixture() {
        first.on_all_under("example", {.silent = true});
        second.on_all_under("example", {.addresses = {"192.0.2.2"}});
    }

    void make(std::chrono::milliseconds timeout,
              dns_servers::clock::duration between_probes = dns_servers::probe_interval) {
        client.emplace(context, clock, std::vector{first.endpoint(), second.endpoint()}, timeout,
                       between_probes);
    }
    /// How long the answer took.
    std::chrono::steady_clock::duration ask(const std::string& name) {
        const auto begun = std::chrono::steady_clock::now();
        bool ended = false;
        client->ask(name, dns_type::a, [&](std::error_code why, dns_records all) {
            ended = true;
            error = why;
            found = std::move(all.addresses);
        });
        CHECK(run_until(context, [&] { return ended; }));
        return std::chrono::steady_clock::now() - begun;
    }
};

} // namespace

TEST_CASE_METHOD(fixture, "a first DNS server that keeps silent") {
    SECTION("costs time for three questions, and then none") {
        make(3s); // so that it has half a second
        for (const char* name : {"a.example", "b.example", "c.example"}) {
            CHECK(ask(name) >= 500ms);
            CHECK(found.size() == 1);
        }
        CHECK(first.asked() == 3);
        for (const char* name : {"d.example", "e.example", "f.example", "g.example"}) {
            ask(name);
            CHECK(found.size() == 1);
        }
        CHECK(first.asked() == 3);
        CHECK(second.asked() == 7);
    }
    SECTION("is first again when it has answered a probe") {
        make(600ms, 50ms);
        for (const char* name : {"a.example", "b.example", "c.example"})
            ask(name);
        first.on_all_under("example", {.addresses = {"192.0.2.1"}});
        CHECK(run_until(context, [&] {
            ask("d.example");
            return found.front() == asio::ip::make_address("192.0.2.1");
        }));
        const int asked = second.asked();
        ask("e.example");
        CHECK(second.asked() == asked);
    }
    SECTION("may answer late, but before the second") {
        first.on("late.example", {.addresses = {"192.0.2.1"}, .delay = 300ms});
        second.on("late.example", {.silent = true});
        make(1200ms); // so that it has 200 ms
        ask("late.example");
        CHECK(found.size() == 1);
        CHECK(second.asked() == 1);
    }
}

TEST_CASE_METHOD(fixture, "a question that nobody answers") {
    second.on_all_under("example", {.silent = true});

    SECTION("goes to each server twice, and ends with the time-out") {
        make(600ms);
        CHECK(ask("a.example") >= 600ms);
        CHECK(error == resolve_errc::timed_out);
        CHECK(first.asked() == 2);
        CHECK(second.asked() == 2);
    }
    SECTION("makes none of them the last") {
        make(30ms);
        for (int i = 0; i < 5; ++i)
            ask("a.example");
        second.on_all_under("example", {.addresses = {"192.0.2.2"}});
        const int asked = first.asked();
        ask("b.example");
        CHECK(first.asked() == asked + 1);
    }
    SECTION("fails at once where none of them can") {
        first.on_all_under("example", {.code = rcode::failure});
        second.on_all_under("example", {.code = rcode::refused});
        make(30s);
        ask("a.example");
        CHECK(error == resolve_errc::server_failure);
        CHECK(first.asked() + second.asked() == 2);
    }
}

TEST_CASE_METHOD(fixture, "a name may take long though others were there at once") {
    second.on("slow.example", {.addresses = {"192.0.2.3"}, .delay = 400ms});
    client.emplace(context, clock, std::vector{second.endpoint()}, 1s);
    for (int i = 0; i < 10; ++i)
        ask("host" + std::to_string(i) + ".example");
    ask("slow.example");
    CHECK_FALSE(error);
    CHECK(found.size() == 1);
}

TEST_CASE_METHOD(fixture, "queries leave from changing ports") {
    client.emplace(context, clock, std::vector{second.endpoint()}, 5s);
    for (int i = 0; i < 200; ++i)
        ask("host" + std::to_string(i) + ".example");
    CHECK(second.asked() >= 200);
    CHECK(second.ports().size() >= 200 / 32);
}
