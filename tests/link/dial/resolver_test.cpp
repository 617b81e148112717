#include "protocol/link/dial/resolver.hpp"

#include "tests/catch.hpp"
#include "tests/link/dial/test_dns_server.hpp"
#include "tests/link/test_network.hpp"

#include <optional>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;
using texts = std::vector<std::string>;

namespace {

/// What a lookup has said so far.
struct outcome {
    struct call {
        texts addresses;
        bool last = false;
        std::chrono::steady_clock::duration after{};
    };
    std::vector<call> calls;
    std::error_code error;
    std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();

    bool ended() const { return !calls.empty() && calls.back().last; }
    texts addresses() const {
        texts all;
        for (const call& one : calls) {
            all.insert(all.end(), one.addresses.begin(), one.addresses.end());
        }
        return all;
    }
};

struct fixture {
    asio::io_context context{1};
    deadlines clock{context};
    dns_server server{context};
    temporary_file hosts{"192.0.2.1 in-hosts\n2001:db8::1 in-hosts\n127.0.0.1 localhost\n"};
    resolver_options options{
        .servers = {server.endpoint()}, .timeout = 2s, .hosts_path = hosts.path()};
    std::optional<resolver> names;

    asio::ip::udp::endpoint no_server() {
        const auto refusing = refusing_endpoint(context, "127.0.0.1");
        return {refusing.address(), refusing.port()};
    }

    void make() { names.emplace(context, clock, options); }

    resolver::lookup_id resolve(std::string_view host, outcome& result) {
        if (!names) make();
        return names->resolve(host, [&result](std::error_code error,
                                              std::span<const asio::ip::address> found, bool last) {
            outcome::call call{.addresses = {},
                               .last = last,
                               .after = std::chrono::steady_clock::now() - result.begun};
            for (const auto& address : found)
                call.addresses.push_back(address.to_string());
            result.calls.push_back(std::move(call));
            result.error = error;
        });
    }

    /// Resolves to the end.
    outcome result_of(std::string_view host) {
        outcome result;
        resolve(host, result);
        CHECK(result.calls.empty()); // never from inside resolve()
        CHECK(run_until(context, [&] { return result.ended(); }));
        return result;
    }
};

} // namespace

TEST_CASE_METHOD(fixture, "a name with addresses of both families") {
    server.on("both.example", {.addresses = {"192.0.2.1", "192.0.2.2", "2001:db8::1"}});

    SECTION("gives all of them, IPv6 first") {
        CHECK(result_of("both.example").addresses() ==
              texts{"2001:db8::1", "192.0.2.1", "192.0.2.2"});
    }
    SECTION("gives IPv4 first if that is preferred") {
        options.prefer_ipv4 = true;
        CHECK(result_of("both.example").addresses() ==
              texts{"192.0.2.1", "192.0.2.2", "2001:db8::1"});
    }
    SECTION("is found in any case and with a final dot") {
        CHECK(result_of("BOTH.Example.").addresses().size() == 3);
        CHECK(server.asked("both.example", record::a) == 1);
    }
    SECTION("is found behind a CNAME") {
        server.on("alias.example", {.addresses = {"192.0.2.9"}, .alias = "real.example"});
        CHECK(result_of("alias.example").addresses() == texts{"192.0.2.9"});
    }
}

TEST_CASE_METHOD(fixture, "an answer that is truncated is asked for over TCP") {
    texts many;
    for (int i = 1; i <= 60; ++i)
        many.push_back("192.0.2." + std::to_string(i));
    server.on("big.example", record::a, {.addresses = many, .truncated = true});
    server.on("big.example", record::aaaa, {});
    CHECK(result_of("big.example").addresses() == many);
    CHECK(server.asked_over_tcp() == 1);
}

TEST_CASE_METHOD(fixture, "families that answer at different times") {
    SECTION("the preferred one is passed on at once") {
        server.on("late4.example", record::aaaa, {.addresses = {"2001:db8::1"}});
        server.on("late4.example", record::a, {.addresses = {"192.0.2.1"}, .delay = 800ms});
        const outcome result = result_of("late4.example");
        REQUIRE(result.calls.size() == 2);
        CHECK(result.calls[0].addresses == texts{"2001:db8::1"});
        CHECK(result.calls[0].after < 800ms);
        CHECK(result.calls[1].addresses == texts{"192.0.2.1"});
        CHECK(result.calls[1].after >= 800ms);
    }
    SECTION("the other one waits for the resolution delay") {
        server.on("late6.example", record::a, {.addresses = {"192.0.2.1"}});
        server.on("late6.example", record::aaaa, {.addresses = {"2001:db8::1"}, .delay = 800ms});
        const outcome result = result_of("late6.example");
        REQUIRE(result.calls.size() == 2);
        CHECK(result.calls[0].addresses == texts{"192.0.2.1"});
        CHECK(result.calls[0].after >= resolver::resolution_delay);
        CHECK(result.calls[0].after < 800ms);
        CHECK(result.calls[1].addresses == texts{"2001:db8::1"});
    }
    SECTION("one call has both, preferred first, if both have come by then") {
        server.on("soon6.example", record::a, {.addresses = {"192.0.2.1"}});
        server.on("soon6.example", record::aaaa, {.addresses = {"2001:db8::1"}, .delay = 5ms});
        const outcome result = result_of("soon6.example");
        // On a machine that stands still for the length of the delay they come one by one.
        const bool one_call = result.calls.size() == 1;
        CHECK(result.addresses() ==
              (one_call ? texts{"2001:db8::1", "192.0.2.1"} : texts{"192.0.2.1", "2001:db8::1"}));
    }
    SECTION("one that never answers holds nobody up, and is no error") {
        server.on("no6.example", record::a, {.addresses = {"192.0.2.1"}});
        server.on("no6.example", record::aaaa, {.silent = true});
        const outcome result = result_of("no6.example");
        REQUIRE(result.calls.size() == 2);
        CHECK(result.calls[0].after < 1s);
        CHECK(result.calls[1].addresses.empty());
        CHECK_FALSE(result.error);
    }
    SECTION("one that fails does not hide the other") {
        server.on("fail6.example", record::a, {.addresses = {"192.0.2.1"}});
        server.on("fail6.example", record::aaaa, {.code = rcode::failure});
        const outcome result = result_of("fail6.example");
        CHECK(result.addresses() == texts{"192.0.2.1"});
        CHECK_FALSE(result.error);
    }
}

TEST_CASE_METHOD(fixture, "each way of having no address has its own error") {
    SECTION("NXDOMAIN") { CHECK(result_of("unknown.example").error == resolve_errc::not_found); }
    SECTION("no data") {
        server.on("empty.example", dns_reply{});
        CHECK(result_of("empty.example").error == resolve_errc::no_address);
    }
    SECTION("SERVFAIL") {
        server.on("broken.example", {.code = rcode::failure});
        CHECK(result_of("broken.example").error == resolve_errc::server_failure);
    }
    SECTION("REFUSED") {
        server.on("closed.example", {.code = rcode::refused});
        CHECK(result_of("closed.example").error == resolve_errc::server_failure);
    }
    SECTION("silence, within the time-out") {
        options.timeout = 300ms;
        server.on("silent.example", {.silent = true});
        const outcome result = result_of("silent.example");
        CHECK(result.error == resolve_errc::timed_out);
        CHECK(result.calls[0].after >= 200ms);
        CHECK(result.calls[0].after < 1500ms);
    }
    SECTION("a server that is not there") {
        options.servers = {no_server()};
        const outcome result = result_of("any.example");
        const bool expected =
            result.error == resolve_errc::server_failure || result.error == resolve_errc::timed_out;
        CAPTURE(result.error);
        CHECK(expected);
    }
    SECTION("a text that is no name, which nobody is asked about") {
        for (const char* text : {"", "a b.example", "256.1.1.1", "1.2.3.4.5", "a..b", "[::1]"}) {
            CAPTURE(text);
            CHECK(result_of(text).error == resolve_errc::bad_name);
        }
        CHECK(result_of(std::string(254, 'a')).error == resolve_errc::bad_name);
        CHECK(server.asked() == 0);
    }
}

TEST_CASE("errors of the resolver") {
    SECTION("are host-unreachable, or a time-out") {
        CHECK(std::error_code(resolve_errc::not_found) == std::errc::host_unreachable);
        CHECK(std::error_code(resolve_errc::bad_name) == std::errc::host_unreachable);
        CHECK(std::error_code(resolve_errc::timed_out) == std::errc::timed_out);
    }
    SECTION("have sentences that differ") {
        std::vector<std::string> sentences;
        for (int i = 1; i <= 6; ++i)
            sentences.push_back(resolve_category().message(i));
        std::sort(sentences.begin(), sentences.end());
        CHECK(std::unique(sentences.begin(), sentences.end()) == sentences.end());
    }
}

TEST_CASE_METHOD(fixture, "what needs no server") {
    SECTION("addresses in any spelling") {
        CHECK(result_of("192.0.2.5").addresses() == texts{"192.0.2.5"});
        CHECK(result_of("2001:db8::5").addresses() == texts{"2001:db8::5"});
        for (const char* text : {"127.1", "0x7f000001", "2130706433", "0177.0.0.1"}) {
            CHECK(result_of(text).addresses() == texts{"127.0.0.1"});
        }
    }
    SECTION("names in the host table") {
        CHECK(result_of("IN-hosts").addresses() == texts{"2001:db8::1", "192.0.2.1"});
        CHECK(result_of("localhost").addresses() == texts{"127.0.0.1"});
    }
    SECTION("localhost, even if the host table does not have it") {
        CHECK(result_of("app.localhost").addresses() == texts{"::1", "127.0.0.1"});
        options.prefer_ipv4 = true;
        make();
        CHECK(result_of("app.localhost").addresses() == texts{"127.0.0.1", "::1"});
    }
    SECTION("names that cannot exist") {
        CHECK(result_of("anything.invalid").error == resolve_errc::not_found);
        CHECK(result_of("anything.onion").error == resolve_errc::not_found);
    }
    CHECK(server.asked() == 0);
}

TEST_CASE_METHOD(fixture, "a name is asked for as it is, and no other") {
    // c-ares takes search domains from here (or from the host's own name), and one with a wildcard
    // has every name.
    const environment_variable domain("LOCALDOMAIN", "search.example");
    server.on_all_under("search.example", {.addresses = {"192.0.2.66", "2001:db8::66"}});
    server.on("git.corp.test", record::a, {.addresses = {"192.0.2.1"}});
    server.on("git.corp.test", record::aaaa, dns_reply{});
    server.on("git6.corp.test", record::a, dns_reply{});
    server.on("git6.corp.test", record::aaaa, {.addresses = {"2001:db8::1"}});
    server.on("empty.corp.test", dns_reply{});

    SECTION("if it has one family only") {
        CHECK(result_of("git.corp.test").addresses() == texts{"192.0.2.1"});
        CHECK(result_of("git6.corp.test").addresses() == texts{"2001:db8::1"});
        CHECK(server.asked() == 4);
    }
    SECTION("with a final dot") {
        CHECK(result_of("git.corp.test.").addresses() == texts{"192.0.2.1"});
        CHECK(server.asked() == 2);
    }
    SECTION("if it has no address, or does not exist") {
        CHECK(result_of("empty.corp.test").error == resolve_errc::no_address);
        CHECK(result_of("typo.corp.test").error == resolve_errc::not_found);
        CHECK(server.asked() == 4);
    }
    SECTION("without a dot") {
        CHECK(result_of("git").error == resolve_errc::not_found);
        CHECK(server.asked("git", record::a) == 1);
        CHECK(server.asked() == 2);
    }
    SECTION("where short names are searched for") {
        options.search_short_names = true;
        CHECK(result_of("git.corp.test").addresses() == texts{"192.0.2.1"});
        CHECK(result_of("typo.corp.test").error == resolve_errc::not_found);
        CHECK(server.asked() == 4);
    }
}

TEST_CASE_METHOD(fixture, "search domains, for a short name") {
    const temporary_file system("search one.example two.example\n");
    options.resolv_conf_path = system.path();
    options.search_short_names = true;

    SECTION("are tried in order, and end at the first that has the name") {
        server.on("db.two.example", {.addresses = {"192.0.2.2"}});
        server.on("db", {.addresses = {"192.0.2.3"}});
        CHECK(result_of("db").addresses() == texts{"192.0.2.2"});
        CHECK(server.asked("db.one.example", record::a) == 1);
        CHECK(server.asked("db", record::a) == 0);
    }
    SECTION("never mix the addresses of two names") {
        server.on("db.one.example", record::aaaa, {.addresses = {"2001:db8::1"}});
        server.on("db.two.example", {.addresses = {"192.0.2.2", "2001:db8::2"}});
        CHECK(result_of("db").addresses() == texts{"2001:db8::1"});
    }
    SECTION("do not concern a name with a dot") {
        CHECK(result_of("db.prod").error == resolve_errc::not_found);
        CHECK(server.asked() == 2);
    }
    SECTION("end with the name itself") {
        server.on("db", {.addresses = {"192.0.2.3"}});
        CHECK(result_of("db").addresses() == texts{"192.0.2.3"});
        CHECK(server.asked() == 6);
    }
    SECTION("are left alone by a name with a final dot") {
        CHECK(result_of("db.").error == resolve_errc::not_found);
        CHECK(server.asked() == 2);
    }
    SECTION("report the worst that was met") {
        server.on("db.one.example", {.code = rcode::failure});
        CHECK(result_of("db").error == resolve_errc::server_failure);
        CHECK(server.asked("db", record::aaaa) == 1);
    }
}

TEST_CASE_METHOD(fixture, "a name that could not be looked up") {
    SECTION("is not asked for again for a while, if that is wanted") {
        options.remember_failures = true;
        CHECK(result_of("gone.example").error == resolve_errc::not_found);
        CHECK(result_of("Gone.Example.").error == resolve_errc::not_found);
        CHECK(server.asked() == 2);
        server.on("here.example", {.addresses = {"192.0.2.1"}});
        CHECK(result_of("here.example").addresses() == texts{"192.0.2.1"});
        CHECK(result_of("here.example").addresses() == texts{"192.0.2.1"});
    }
    SECTION("is asked for each time otherwise") {
        CHECK(result_of("gone.example").error == resolve_errc::not_found);
        server.on("gone.example", {.addresses = {"192.0.2.1"}});
        CHECK(result_of("gone.example").addresses() == texts{"192.0.2.1"});
    }
}

TEST_CASE_METHOD(fixture, "a second server helps out") {
    server.on("a.example", {.addresses = {"192.0.2.1"}});

    SECTION("for one that is not there") {
        options.servers = {no_server(), server.endpoint()};
        CHECK(result_of("a.example").addresses() == texts{"192.0.2.1"});
    }
    SECTION("for one that fails") {
        dns_server broken(context);
        broken.on("a.example", {.code = rcode::failure});
        options.servers = {broken.endpoint(), server.endpoint()};
        CHECK(result_of("a.example").addresses() == texts{"192.0.2.1"});
    }
    SECTION("for one that is silent") {
        dns_server silent(context);
        silent.on("a.example", {.silent = true});
        options.servers = {silent.endpoint(), server.endpoint()};
        CHECK(result_of("a.example").addresses() == texts{"192.0.2.1"});
    }
}

TEST_CASE_METHOD(fixture, "many lookups at once") {
    // They all share one socket; the time-out leaves room for datagrams that it cannot hold.
    options.timeout = 10s;
    constexpr int count = 200;
    for (int i = 0; i < count; ++i) {
        server.on("host" + std::to_string(i) + ".example",
                  {.addresses = {"192.0.2." + std::to_string(i)}, .delay = 20ms});
    }
    std::vector<outcome> results(count);
    for (int i = 0; i < count; ++i) {
        resolve("host" + std::to_string(i) + ".example", results[static_cast<std::size_t>(i)]);
    }
    CHECK(names->pending() == 2 * count);
    CHECK(run_until(context, [&] { return names->pending() == 0; }));
    run_ready(context);
    for (int i = 0; i < count; ++i) {
        CAPTURE(results[static_cast<std::size_t>(i)].error);
        CHECK(results[static_cast<std::size_t>(i)].addresses() ==
              texts{"192.0.2." + std::to_string(i)});
    }
}

TEST_CASE_METHOD(fixture, "a lookup that is cancelled") {
    server.on("slow.example", {.addresses = {"192.0.2.1"}, .delay = 50ms});
    server.on("fast.example", {.addresses = {"192.0.2.2"}});
    outcome result;

    SECTION("is not answered, and its handler is gone at once") {
        make();
        const auto owned = std::make_shared<int>(0);
        const auto id = names->resolve(
            "slow.example", [owned, &result](auto, auto, bool) { result.calls.emplace_back(); });
        names->cancel(id);
        CHECK(owned.use_count() == 1);
        CHECK(names->pending() == 2);
        CHECK(run_until(context, [&] { return names->pending() == 0; }));
        CHECK(result.calls.empty());
    }
    SECTION("does not disturb others") {
        outcome other;
        const auto id = resolve("slow.example", result);
        resolve("fast.example", other);
        names->cancel(id);
        CHECK(run_until(context, [&] { return other.ended() && names->pending() == 0; }));
        CHECK(result.calls.empty());
    }
    SECTION("may need no server") {
        const auto id = resolve("192.0.2.1", result);
        names->cancel(id);
        run_ready(context);
        CHECK(result.calls.empty());
    }
    SECTION("may be so by its own handler, after half of the answer") {
        server.on("half.example", record::aaaa, {.addresses = {"2001:db8::1"}});
        server.on("half.example", record::a, {.addresses = {"192.0.2.1"}, .delay = 50ms});
        make();
        int calls = 0;
        resolver::lookup_id id = 0;
        id = names->resolve("half.example", [&](auto, auto, bool last) {
            ++calls;
            CHECK_FALSE(last);
            names->cancel(id);
        });
        CHECK(run_until(context, [&] { return calls > 0 && names->pending() == 0; }));
        run_ready(context);
        CHECK(calls == 1);
    }
    SECTION("may have ended already") {
        const auto id = resolve("fast.example", result);
        CHECK(run_until(context, [&] { return result.ended(); }));
        names->cancel(id);
        names->cancel(4711);
    }
}

TEST_CASE_METHOD(fixture, "a resolver may be destroyed") {
    server.on("slow.example", {.addresses = {"192.0.2.1"}, .delay = 20ms});
    server.on("silent.example", {.silent = true});
    server.on("tcp.example", {.addresses = {"192.0.2.1"}, .delay = 100ms, .truncated = true});
    const std::size_t before = open_descriptors();
    outcome result;

    SECTION("with lookups under way, whose handlers go with it") {
        const auto owned = std::make_shared<int>(0);
        make();
        for (const char* host : {"silent.example", "tcp.example"}) {
            names->resolve(host, [owned](auto, auto, bool) { FAIL("a handler was called"); });
        }
        // In the middle of it: asked over UDP, and over TCP.
        CHECK(run_until(context, [&] { return server.asked_over_tcp() > 0; }));
    }
    SECTION("after lookups that have timed out") {
        options.timeout = 30ms;
        resolve("silent.example", result);
        CHECK(run_until(context, [&] { return result.ended(); }));
    }
    SECTION("by a handler") {
        make();
        bool called = false;
        names->resolve("slow.example", [&](auto, auto, bool) {
            called = true;
            names.reset();
        });
        resolve("silent.example", result);
        CHECK(run_until(context, [&] { return called; }));
    }
    SECTION("by a handler that needed no server") {
        make();
        bool called = false;
        names->resolve("192.0.2.1", [&](auto, auto, bool) {
            called = true;
            names.reset();
        });
        resolve("192.0.2.2", result);
        CHECK(run_until(context, [&] { return called; }));
    }
    names.reset();
    run_until(
        context, [] { return false; }, 60ms);
    CHECK(result.addresses().empty());
    // The server's side of a TCP connection may still be open.
    CHECK(open_descriptors() <= before + 2);
}

TEST_CASE("the system's own servers can be used") {
    asio::io_context context(1);
    deadlines clock(context);
    resolver names(context, clock, resolver_options{});
    bool ended = false;
    names.resolve("localhost", [&](std::error_code error, auto found, bool last) {
        CHECK_FALSE(error);
        CHECK_FALSE(found.empty());
        ended = last;
    });
    CHECK(run_until(context, [&] { return ended; }));
}

TEST_CASE_METHOD(fixture, "the name of an address") {
    make();
    const auto name_of = [this](const char* address, std::error_code& why) {
        std::string found;
        bool ended = false;
        names->resolve_name(asio::ip::make_address(address),
                            [&](std::error_code error, const std::string& name) {
                                ended = true;
                                why = error;
                                found = name;
                            });
        CHECK_FALSE(ended); // never from inside resolve_name()
        CHECK(run_until(context, [&] { return ended; }));
        return found;
    };
    std::error_code error;
    SECTION("is DNS's, of IPv4 and of IPv6") {
        server.on("1.2.0.192.in-addr.arpa", record::ptr, {.names = {"Host.example"}});
        server.on("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                  record::ptr, {.names = {"six.example"}});
        CHECK(name_of("192.0.2.1", error) == "host.example");
        CHECK_FALSE(error);
        CHECK(name_of("::ffff:192.0.2.1", error) == "host.example");
        CHECK(name_of("2001:db8::1", error) == "six.example");
    }
    SECTION("may stand behind an alias (RFC 2317)") {
        server.on("1.2.0.192.in-addr.arpa", record::ptr,
                  {.alias = "1.0-63.2.0.192.in-addr.arpa", .names = {"host.example"}});
        CHECK(name_of("192.0.2.1", error) == "host.example");
    }
    SECTION("is the first that can be a host's") {
        server.on("1.2.0.192.in-addr.arpa", record::ptr, {.names = {"192.0.2.7", "host.example"}});
        CHECK(name_of("192.0.2.1", error) == "host.example");
        server.on("2.2.0.192.in-addr.arpa", record::ptr, {.names = {"a b.example"}});
        CHECK(name_of("192.0.2.2", error).empty());
        CHECK(error == resolve_errc::no_address);
    }
    SECTION("may not exist") {
        CHECK(name_of("192.0.2.3", error).empty());
        CHECK(error == resolve_errc::not_found);
    }
    SECTION("of this machine is no question for DNS") {
        CHECK(name_of("127.0.0.1", error) == "localhost");
        CHECK(name_of("::1", error) == "localhost");
        CHECK(server.asked() == 0);
    }
    SECTION("is not told once nobody wants to know") {
        server.on("1.2.0.192.in-addr.arpa", record::ptr, {.names = {"host.example"}});
        bool told = false;
        const auto id = names->resolve_name(asio::ip::make_address("192.0.2.1"),
                                            [&](auto, const auto&) { told = true; });
        names->cancel(id);
        CHECK(run_until(context, [&] { return names->pending() == 0; }));
        CHECK_FALSE(told);
    }
    SECTION("may still be asked for when the resolver goes") {
        server.on("1.2.0.192.in-addr.arpa", record::ptr, {.silent = true});
        names->resolve_name(asio::ip::make_address("192.0.2.1"), [](auto, const auto&) {});
        names.reset();
    }
}
