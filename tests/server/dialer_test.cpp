#include "server/dialer.hpp"

#include "protocol/link/dial/connect_error.hpp"
#include "protocol/program/log.hpp"
#include "socks5/reply_code.hpp"
#include "tests/catch.hpp"
#include "tests/link/dial/test_dns_server.hpp"
#include "tests/link/test_network.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <sys/socket.h>

using namespace muxsocks;
using namespace muxsocks::server;
using namespace muxsocks::test;
using namespace std::chrono_literals;
using socks5::reply_code;

namespace {

struct outcome {
    int calls = 0;
    std::optional<dial_result> result;

    std::error_code error() const { return result ? result->error : std::error_code(); }
    reply_code rep() const { return socks5::reply_code_from(error()); }
};

std::shared_ptr<const target_policy> policy_of(std::initializer_list<const char*> allow) {
    destination_settings rules;
    for (const char* text : allow)
        rules.allow.push_back(parse_network(text).value());
    return std::make_shared<target_policy>(rules);
}

struct fixture {
    asio::io_context context{1};
    deadlines clock{context};
    dns_server server{context};
    temporary_file hosts{"127.0.0.2 local\n"};
    resolver names{context, clock,
                   resolver_options{
                       .servers = {server.endpoint()}, .timeout = 1s, .hosts_path = hosts.path()}};
    dial_services services{
        .context = context, .clock = clock, .names = names, .attempt_delay = 60ms};
    std::shared_ptr<const target_policy> loopback = policy_of({"127.0.0.0/8", "::1"});
    std::shared_ptr<const target_policy> strict = policy_of({});
    std::optional<dialer> dials;

    /// The log's writer, which has a descriptor of its own, starts with the first line.
    fixture() { log::write(log_level::debug, "tests that count descriptors begin", {}); }

    void make(dial_limits limits = {}) {
        dials.emplace(services, limits, own_addresses(std::vector<asio::ip::address>{}));
    }

    dialer::handler into(outcome& result) {
        return [&result](dial_result one) {
            ++result.calls;
            result.result.emplace(std::move(one));
        };
    }
    dialer::dial_id dial(std::string_view host, std::uint16_t port, outcome& result) {
        if (!dials) make();
        return dials->dial(host, port, loopback, into(result));
    }
    outcome result_of(std::string_view host, std::uint16_t port,
                      const std::shared_ptr<const target_policy>& policy) {
        if (!dials) make();
        outcome result;
        dials->dial(host, port, policy, into(result));
        CHECK(result.calls == 0); // never from inside dial()
        CHECK(run_until(context, [&] { return result.calls > 0; }));
        run_ready(context);
        CHECK(result.calls == 1);
        return result;
    }
    outcome result_of(std::string_view host, std::uint16_t port) {
        return result_of(host, port, loopback);
    }
};

bool is_set(tcp_socket& socket, int level, int name) {
    int value = 0;
    socklen_t size = sizeof(value);
    ::getsockopt(socket.native_handle(), level, name, &value, &size);
    return value != 0;
}

} // namespace

TEST_CASE_METHOD(fixture, "a dial that succeeds") {
    listener target(context, "127.0.0.1");

    SECTION("gives the socket with its options, and both ends") {
        make();
        outcome dialled;
        dials->dial(asio::ip::make_address("127.0.0.1"), target.port(), loopback, into(dialled));
        CHECK(dialled.calls == 0);
        CHECK(run_until(context, [&] { return dialled.calls > 0; }));
        REQUIRE_FALSE(dialled.error());
        CHECK(dialled.rep() == reply_code::succeeded);
        dial_result& result = *dialled.result;
        CHECK(is_set(result.socket, IPPROTO_TCP, TCP_NODELAY));
        CHECK(is_set(result.socket, SOL_SOCKET, SO_KEEPALIVE));
        CHECK(result.peer == target.endpoint());
        CHECK(run_until(context, [&] { return !target.accepted().empty(); }));
        CHECK(result.local == target.accepted().front().remote_endpoint());
        CHECK(result.reason.empty());
        CHECK(dials->active() == 0);
    }
    SECTION("may go to a name or an address as text") {
        listener by_name(context, "127.0.0.2");
        CHECK_FALSE(result_of("localhost", target.port()).error());
        CHECK_FALSE(result_of("127.1", target.port()).error());
        CHECK_FALSE(result_of("local", by_name.port()).error());
    }
    SECTION("may go to IPv6") {
        if (has_ipv6()) {
            listener v6(context, "::1");
            const outcome dialled = result_of("::1", v6.port());
            CHECK_FALSE(dialled.error());
            CHECK(dialled.result->local.address() == asio::ip::make_address("::1"));
        } else {
            WARN("skipped: no IPv6 here");
        }
    }
}

TEST_CASE_METHOD(fixture, "the result of a dial becomes a true REP") {
    SECTION("refused: 05") {
        const auto refusing = refusing_endpoint(context, "127.0.0.1");
        CHECK(result_of("127.0.0.1", refusing.port()).rep() == reply_code::connection_refused);
    }
    SECTION("silent: 04, within the time-out") {
        black_hole silent(context, "127.0.0.1");
        make({.timeout = 80ms});
        const outcome dialled = result_of("127.0.0.1", silent.port());
        CHECK(dialled.error() == connect_errc::timed_out);
        CHECK(dialled.rep() == reply_code::host_unreachable);
        CHECK(dials->active() == 0);
    }
    SECTION("a name without an address: 04") {
        CHECK(result_of("unknown.example", 80).error() == resolve_errc::not_found);
        CHECK(result_of("unknown.example", 80).rep() == reply_code::host_unreachable);
        CHECK(result_of("no name", 80).rep() == reply_code::host_unreachable);
        CHECK(result_of("", 80).error() == resolve_errc::bad_name);
    }
    SECTION("denied: 02") {
        CHECK(result_of("127.0.0.1", 80, strict).rep() == reply_code::not_allowed);
    }
    SECTION("its turn did not come: 01") {
        CHECK(socks5::reply_code_from(dial_errc::waited_too_long) == reply_code::general_failure);
    }
}

TEST_CASE_METHOD(fixture, "the policy") {
    listener target(context, "127.0.0.1");

    SECTION("is asked about addresses in all their disguises") {
        for (const char* host :
             {"127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "::ffff:127.0.0.1",
              "::1", "localhost", "LOCALHOST.", "0", "0.0.0.0", "::", "64:ff9b::7f00:1",
              "::127.0.0.1", "2002:7f00:1::"}) {
            CAPTURE(host);
            const outcome dialled = result_of(host, target.port(), strict);
            CHECK(dialled.error() == dial_errc::denied);
            CHECK(dialled.result->reason.find("destinations.allow") != std::string::npos);
        }
        CHECK(target.accepted().empty());
    }
    SECTION("is asked about what a name resolves to, whatever the name") {
        server.on("127.0.0.1.nip.example", {.addresses = {"127.0.0.1"}});
        server.on("metadata.example", {.addresses = {"169.254.169.254"}});
        server.on("mapped.example", {.addresses = {"::ffff:127.0.0.1"}});
        for (const char* host : {"127.0.0.1.nip.example", "metadata.example", "mapped.example"}) {
            CAPTURE(host);
            CHECK(result_of(host, target.port(), strict).error() == dial_errc::denied);
        }
        CHECK(target.accepted().empty());
    }
    SECTION("lets the allowed addresses of a name pass and no others") {
        server.on("mixed.example", {.addresses = {"10.0.0.1", "127.0.0.1", "fd00::1"}});
        const outcome dialled = result_of("mixed.example", target.port());
        REQUIRE_FALSE(dialled.error());
        CHECK(dialled.result->peer == target.endpoint());
    }
    SECTION("is the dial's own: two users may have two") {
        CHECK(result_of("127.0.0.1", target.port(), strict).error() == dial_errc::denied);
        CHECK_FALSE(result_of("127.0.0.1", target.port(), loopback).error());
    }
    SECTION("lives as long as a dial needs it") {
        server.on("slow.example", {.addresses = {"127.0.0.1"}, .delay = 30ms});
        make();
        outcome dialled;
        dials->dial("slow.example", target.port(), policy_of({"127.0.0.1"}), into(dialled));
        CHECK(run_until(context, [&] { return dialled.calls > 0; }));
        CHECK_FALSE(dialled.error());
    }
    SECTION("knows this machine's own addresses") {
        dials.emplace(services, dial_limits{}, own_addresses({asio::ip::make_address("8.8.4.4")}));
        const outcome dialled = result_of("8.8.4.4", 80, strict);
        CHECK(dialled.error() == dial_errc::denied);
        CHECK(dialled.result->reason.find("the server itself") != std::string::npos);
    }
}

TEST_CASE_METHOD(fixture, "dials above the limit") {
    make({.dials_max = 2, .timeout = 10s});
    black_hole silent(context, "127.0.0.1");
    listener target(context, "127.0.0.2");
    std::deque<outcome> blocking(2);
    std::vector<dialer::dial_id> blocking_ids;
    for (outcome& one : blocking)
        blocking_ids.push_back(dial("127.0.0.1", silent.port(), one));
    std::deque<outcome> waiting(3);
    std::vector<dialer::dial_id> waiting_ids;
    for (outcome& one : waiting)
        waiting_ids.push_back(dial("127.0.0.2", target.port(), one));

    SECTION("wait") {
        CHECK(dials->active() == 2);
        CHECK(dials->waiting() == 3);
        run_until(
            context, [] { return false; }, 30ms);
        CHECK(target.accepted().empty());
    }
    SECTION("go on in order as others end") {
        std::string order;
        outcome ignored;
        dials->dial("127.0.0.2", target.port(), loopback, [&](dial_result) { order += 'd'; });
        dials->dial("127.0.0.2", target.port(), loopback, [&](dial_result) { order += 'e'; });
        dials->cancel(blocking_ids[0]);
        CHECK(run_until(context, [&] { return order.size() == 2; }));
        CHECK(order == "de");
        for (const outcome& one : waiting)
            CHECK(one.calls == 1);
        CHECK(dials->active() == 1);
    }
    SECTION("may be cancelled while they wait") {
        dials->cancel(waiting_ids[1]);
        CHECK(dials->waiting() == 2);
        CHECK(dials->active() == 2);
        dials->cancel(blocking_ids[0]);
        dials->cancel(blocking_ids[1]);
        CHECK(run_until(context, [&] { return waiting[0].calls + waiting[2].calls == 2; }));
        run_ready(context);
        CHECK(waiting[1].calls == 0);
        CHECK(blocking[0].calls + blocking[1].calls == 0);
        CHECK(dials->active() == 0);
    }
}

TEST_CASE_METHOD(fixture, "a dial's time") {
    black_hole silent(context, "127.0.0.1");
    listener target(context, "127.0.0.2");
    outcome blocking;
    outcome waiting;

    SECTION("includes its waiting") {
        make({.dials_max = 1, .timeout = 800ms});
        const auto begun = std::chrono::steady_clock::now();
        dial("127.0.0.1", silent.port(), blocking);
        // Later than the first, so that it is still waiting for some time when that one has ended.
        run_until(
            context, [] { return false; }, 400ms);
        dial("127.0.0.1", silent.port(), waiting);
        CHECK(run_until(context, [&] { return waiting.calls > 0; }));
        CHECK(blocking.calls == 1);
        CHECK(waiting.error() == connect_errc::timed_out);
        const auto took = std::chrono::steady_clock::now() - begun;
        CHECK(took >= 1200ms);
        CHECK(took < 5s);
    }
    SECTION("may be over before its turn") {
        make({.lookups_max = 1, .timeout = 200ms});
        server.on("silent.example", {.silent = true});
        // Its lookup holds the place longer than the dial's time.
        dial("silent.example", 80, blocking);
        dial("local", target.port(), waiting);
        CHECK(run_until(context, [&] { return waiting.calls > 0; }));
        CHECK(waiting.error() == dial_errc::waited_too_long);
        CHECK(blocking.error() == resolve_errc::timed_out);
        CHECK(dials->waiting() == 0);
        CHECK(dials->active() == 1);
        CHECK(run_until(context, [&] { return dials->active() == 0; }));
        CHECK(target.accepted().empty());
    }
}

TEST_CASE_METHOD(fixture, "dialers of two threads that share their places") {
    const auto places = std::make_shared<dial_places>(2, 2);
    const own_addresses none(std::vector<asio::ip::address>{});
    dials.emplace(services, dial_limits{}, none, places);
    std::optional<dialer> other(std::in_place, services, dial_limits{}, none, places);
    black_hole silent(context, "127.0.0.1");
    listener target(context, "127.0.0.2");
    std::deque<outcome> blocking(2);
    std::vector<dialer::dial_id> blocking_ids;
    for (outcome& one : blocking)
        blocking_ids.push_back(dial("127.0.0.1", silent.port(), one));
    outcome of_other;
    outcome of_first;
    other->dial("127.0.0.2", target.port(), loopback, into(of_other));
    dial("127.0.0.2", target.port(), of_first);

    SECTION("have no more dials under way than places") {
        run_until(
            context, [] { return false; }, 30ms);
        CHECK(dials->active() + other->active() == 2);
        CHECK(other->waiting() == 1);
        CHECK(target.accepted().empty());
    }
    SECTION("get the places that the other one gives back, in the order in which they waited") {
        dials->cancel(blocking_ids[0]);
        CHECK(run_until(context, [&] { return of_other.calls > 0; }));
        CHECK_FALSE(of_other.error());
        CHECK(run_until(context, [&] { return of_first.calls > 0; }));
        CHECK_FALSE(of_first.error());
        CHECK(other->active() == 0);
        CHECK(dials->active() == 1);
    }
    SECTION("pass a place on that comes too late") {
        dials->cancel(blocking_ids[0]);
        other.reset(); // The place is on its way to it.
        CHECK(run_until(context, [&] { return of_first.calls > 0; }));
        CHECK(of_other.calls == 0);
    }
    SECTION("give their places back when they are gone") {
        dials.reset();
        CHECK(run_until(context, [&] { return of_other.calls > 0; }));
        CHECK_FALSE(of_other.error());
    }
}

TEST_CASE_METHOD(fixture, "names and connects have places of their own") {
    const auto places = std::make_shared<dial_places>(2, 2);
    dials.emplace(services, dial_limits{.timeout = 10s},
                  own_addresses(std::vector<asio::ip::address>{}), places);
    black_hole silent(context, "127.0.0.1");
    listener target(context, "127.0.0.2");
    server.on("silent.example", {.silent = true});
    std::deque<outcome> dead(6);
    outcome alive;

    SECTION("so that names which nobody answers hold up no address") {
        for (outcome& one : dead)
            dial("silent.example", 80, one);
        dial("127.0.0.2", target.port(), alive);
        CHECK(run_until(context, [&] { return alive.calls > 0; }));
        CHECK_FALSE(alive.error());
    }
    SECTION("so that dead addresses hold up no name on its way to being looked up") {
        for (outcome& one : dead)
            dial("127.0.0.1", silent.port(), one);
        server.on("alive.example", {.addresses = {"127.0.0.2"}});
        const auto id = dial("alive.example", target.port(), alive);
        CHECK(run_until(context, [&] { return places->connects.now().waiting == 5; }));
        CHECK(places->names.now().taken == 0);
        CHECK(alive.calls == 0);
        dials->cancel(id);
        CHECK(places->connects.now().waiting == 4);
    }
}

TEST_CASE_METHOD(fixture, "a user's dead targets beside another user's dials") {
    const auto places = std::make_shared<dial_places>(16, 16);
    dials.emplace(services, dial_limits{.timeout = 10s},
                  own_addresses(std::vector<asio::ip::address>{}), places);
    black_hole silent(context, "127.0.0.1");
    listener target(context, "127.0.0.2");
    server.on("silent.example", {.silent = true});
    shared_memory memory{1};
    const user_limit_settings limits{9, 9, 9, 999, 999, 9, 9, 9, 9};
    const auto greedy = std::make_shared<user_account>("greedy", limits, memory);
    const auto honest = std::make_shared<user_account>("honest", limits, memory);
    std::deque<outcome> dead(100);
    outcome alive;
    const auto answered = [&] {
        return run_until(
            context, [&] { return alive.calls > 0; }, 5s);
    };

    SECTION("leave places for connects") {
        for (outcome& one : dead)
            dials->dial("127.0.0.1", silent.port(), loopback, into(one), greedy);
        dials->dial("127.0.0.2", target.port(), loopback, into(alive), honest);
        CHECK(answered());
        CHECK_FALSE(alive.error());
    }
    SECTION("leave places for look-ups") {
        for (outcome& one : dead)
            dials->dial("silent.example", 80, loopback, into(one), greedy);
        server.on("alive.example", {.addresses = {"127.0.0.2"}});
        const auto begun = std::chrono::steady_clock::now();
        dials->dial("alive.example", target.port(), loopback, into(alive), honest);
        CHECK(answered());
        CHECK_FALSE(alive.error());
        // Before any of the dead ones has given its place back.
        CHECK(std::chrono::steady_clock::now() - begun < 900ms);
    }
}

TEST_CASE_METHOD(fixture, "a dial that is cancelled") {
    listener target(context, "127.0.0.1");
    outcome dialled;

    SECTION("is silent, its socket is closed and its handler gone") {
        make();
        const std::size_t before = open_descriptors();
        const auto owned = std::make_shared<int>(0);
        const auto id = dials->dial(asio::ip::make_address("127.0.0.1"), target.port(), loopback,
                                    [owned](dial_result) { FAIL("a handler was called"); });
        CHECK(open_descriptors() == before + 1);
        dials->cancel(id);
        CHECK(open_descriptors() == before);
        CHECK(owned.use_count() == 1);
        CHECK(dials->active() == 0);
        run_ready(context);
    }
    SECTION("keeps its place until its lookup has ended") {
        make({.lookups_max = 1, .timeout = 10s});
        server.on("slow.example", {.addresses = {"127.0.0.1"}, .delay = 100ms});
        server.on("other.example", {.addresses = {"127.0.0.1"}});
        outcome next;
        const auto id = dial("slow.example", target.port(), dialled);
        dial("other.example", target.port(), next);
        dials->cancel(id);
        CHECK(dials->active() == 1);
        CHECK(dials->waiting() == 1);
        CHECK(server.asked("other.example", record::a) == 0);
        CHECK(run_until(context, [&] { return next.calls > 0; }));
        CHECK(run_until(context, [&] { return dials->active() == 0; }));
        CHECK(dialled.calls == 0);
    }
    SECTION("may have ended, or never have been") {
        const auto id = dial("127.0.0.1", target.port(), dialled);
        CHECK(run_until(context, [&] { return dialled.calls > 0; }));
        dials->cancel(id);
        dials->cancel(id + 1);
        CHECK(dialled.result->socket.is_open());
    }
    SECTION("may be so by a handler, its own or another's") {
        make();
        std::vector<dialer::dial_id> ids;
        int calls = 0;
        for (int i = 0; i < 3; ++i) {
            ids.push_back(dials->dial("127.0.0.1", target.port(), loopback, [&](dial_result) {
                ++calls;
                for (const auto id : ids)
                    dials->cancel(id);
            }));
        }
        CHECK(run_until(context, [&] { return dials->active() == 0; }));
        run_ready(context);
        CHECK(calls == 1);
    }
}

TEST_CASE_METHOD(fixture, "a place is free when the connection stands, though the lookup goes on") {
    const auto places = std::make_shared<dial_places>(1, 1);
    dials.emplace(services, dial_limits{}, own_addresses(std::vector<asio::ip::address>{}), places);
    listener target(context, "127.0.0.1");
    server.on("half.example", record::a, {.addresses = {"127.0.0.1"}});
    server.on("half.example", record::aaaa, {.silent = true});
    outcome first;
    outcome second;
    dial("half.example", target.port(), first);
    dial("half.example", target.port(), second);
    CHECK(run_until(context, [&] { return first.calls > 0; }));
    CHECK_FALSE(first.error());
    CHECK(run_until(context, [&] { return dials->waiting() == 0; }));

    // But only for as many as there are places: this one keeps its own.
    CHECK(run_until(context, [&] { return second.calls > 0; }));
    CHECK_FALSE(second.error());
    CHECK(places->names.now().taken == 1);
    CHECK(places->connects.now().taken == 0);
    CHECK(run_until(context, [&] { return dials->active() == 0; }));
    CHECK(places->names.now().taken == 0);
    CHECK(run_until(context, [&] { return names.pending() == 0; }));
}

TEST_CASE_METHOD(fixture, "a dialer may be destroyed") {
    const std::size_t before = open_descriptors();
    black_hole silent(context, "127.0.0.1");
    server.on("slow.example", {.addresses = {"127.0.0.1"}, .delay = 30ms});
    make({.dials_max = 2, .timeout = 10s});
    const std::size_t with_target = open_descriptors();
    const auto owned = std::make_shared<int>(0);
    const auto never = [owned](dial_result) { FAIL("a handler was called"); };

    SECTION("with dials in every state") {
        dials->dial("127.0.0.1", silent.port(), loopback, never);
        dials->dial("slow.example", 80, loopback, never);
        dials->dial("127.0.0.1", 80, strict, never);
        dials->dial("127.0.0.1", silent.port(), loopback, never);
        CHECK(dials->active() == 3);
        CHECK(dials->waiting() == 1);
        dials.reset();
    }
    SECTION("by a handler") {
        listener target(context, "127.0.0.2");
        bool called = false;
        dials->dial("127.0.0.1", silent.port(), loopback, never);
        dials->dial("127.0.0.2", target.port(), loopback, [&](dial_result) {
            called = true;
            dials.reset();
        });
        dials->dial("slow.example", 80, loopback, never);
        dials->dial("127.0.0.1", silent.port(), loopback, never);
        CHECK(run_until(context, [&] { return called; }));
    }
    SECTION("by a handler that is told of a refusal") {
        bool called = false;
        dials->dial("127.0.0.1", 80, strict, [&](dial_result) {
            called = true;
            dials.reset();
        });
        dials->dial("127.0.0.1", 80, strict, never);
        CHECK(run_until(context, [&] { return called; }));
    }
    CHECK(run_until(context, [&] { return names.pending() == 0; }));
    run_ready(context);
    CHECK(owned.use_count() == 2); // this scope's and never's
    CHECK(open_descriptors() <= with_target);
    CHECK(before < with_target);
}

TEST_CASE_METHOD(fixture, "a flood of dials and cancels leaves nothing behind") {
    listener target(context, "127.0.0.1");
    server.on("slow.example", {.addresses = {"127.0.0.1"}, .delay = 5ms});
    const auto places = std::make_shared<dial_places>(16, 16);
    dials.emplace(services, dial_limits{.timeout = 10s},
                  own_addresses(std::vector<asio::ip::address>{}), places);
    const std::size_t before = open_descriptors();
    int answered = 0;
    std::vector<dialer::dial_id> ids;
    constexpr int count = 300;
    for (int i = 0; i < count; ++i) {
        const char* host = i % 3 == 0 ? "slow.example" : "127.0.0.1";
        ids.push_back(dials->dial(host, target.port(), loopback, [&](dial_result) { ++answered; }));
        if (i % 4 == 1) dials->cancel(ids[static_cast<std::size_t>(i / 2)]);
        if (i % 7 == 0) run_ready(context);
        CHECK(places->connects.now().taken <= 16);
        CHECK(places->names.now().taken <= 16);
    }
    CHECK(run_until(context, [&] { return dials->active() + dials->waiting() == 0; }));
    CHECK(run_until(context, [&] { return names.pending() == 0; }));
    CHECK(answered > count / 2);
    CHECK(run_until(context, [&] {
        target.accepted().clear();
        return open_descriptors() <= before;
    }));
}

TEST_CASE("errors of dials") {
    CHECK(std::error_code(dial_errc::denied) == std::errc::operation_not_permitted);
    CHECK(std::error_code(dial_errc::waited_too_long) != std::errc::timed_out);
    CHECK(dial_category().message(1) != dial_category().message(2));
    CHECK(connect_category().message(1) != connect_category().message(2));
    CHECK(socks5::reply_code_from(connect_errc::timed_out) == reply_code::host_unreachable);
}
