#include "protocol/link/dial/happy_eyeballs.hpp"

#include "tests/catch.hpp"
#include "tests/link/dial/test_dns_server.hpp"
#include "tests/link/test_network.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <netinet/tcp.h>
#include <optional>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

namespace {

struct outcome {
    int calls = 0;
    std::error_code error;
    std::optional<tcp_socket> socket;
    std::string peer;
    std::chrono::steady_clock::duration after{};
};

struct fixture {
    asio::io_context context{1};
    deadlines clock{context};
    dns_server server{context};
    temporary_file hosts{""};
    std::optional<resolver> names{std::in_place, context, clock,
                                  resolver_options{.servers = {server.endpoint()},
                                                   .timeout = 1s,
                                                   .hosts_path = hosts.path()}};
    dial_services services{
        .context = context, .clock = clock, .names = *names, .attempt_delay = 60ms};

    std::shared_ptr<happy_eyeballs> connect(std::string_view host, std::uint16_t port,
                                            outcome& result, connect_options options = {}) {
        const auto begun = std::chrono::steady_clock::now();
        return connect_to_host(services, host, port, std::move(options),
                               [&result, begun](std::error_code error, tcp_socket socket) {
                                   ++result.calls;
                                   result.error = error;
                                   result.after = std::chrono::steady_clock::now() - begun;
                                   if (socket.is_open()) {
                                       result.peer = socket.remote_endpoint().address().to_string();
                                       result.socket = std::move(socket);
                                   }
                               });
    }

    outcome result_of(std::string_view host, std::uint16_t port, connect_options options = {}) {
        outcome result;
        connect(host, port, result, std::move(options));
        CHECK(result.calls == 0); // never from inside the call
        CHECK(run_until(context, [&] { return result.calls > 0; }));
        run_ready(context);
        CHECK(result.calls == 1);
        return result;
    }
};

/// Lowers the limit of descriptors to what is open, for its lifetime.
class no_descriptors_left {
  public:
    no_descriptors_left() {
        getrlimit(RLIMIT_NOFILE, &old_);
        const int next = ::open("/dev/null", O_RDONLY);
        ::close(next);
        rlimit none = old_;
        none.rlim_cur = static_cast<rlim_t>(next);
        setrlimit(RLIMIT_NOFILE, &none);
    }
    ~no_descriptors_left() { setrlimit(RLIMIT_NOFILE, &old_); }

  private:
    rlimit old_{};
};

std::error_code system_error(int error) { return {error, std::system_category()}; }

/// The address families of the sockets, in the order of the attempts.
connect_options recording(std::vector<int>& families) {
    connect_options options;
    options.before_connect = [&families](int descriptor) {
        int family = 0;
        socklen_t size = sizeof(family);
        getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &size);
        families.push_back(family);
    };
    return options;
}

} // namespace

TEST_CASE_METHOD(fixture, "connecting to one address") {
    SECTION("gives a connected socket that does not block") {
        listener target(context, "127.0.0.1");
        outcome result = result_of("127.0.0.1", target.port());
        REQUIRE_FALSE(result.error);
        CHECK(result.peer == "127.0.0.1");
        CHECK((::fcntl(result.socket->native_handle(), F_GETFL) & O_NONBLOCK) != 0);
        char byte = 0;
        CHECK(::recv(result.socket->native_handle(), &byte, 1, 0) == -1);
        CHECK(errno == EAGAIN);
    }
    SECTION("gives a socket for Asio's operations") {
        listener target(context, "127.0.0.1");
        outcome result = result_of("127.0.0.1", target.port());
        REQUIRE_FALSE(result.error);
        CHECK(run_until(context, [&] { return !target.accepted().empty(); }));
        ::send(target.accepted().front().native_handle(), "x", 1, 0);
        bool readable = false;
        result.socket->async_wait(tcp_socket::wait_read, [&](auto error) { readable = !error; });
        CHECK(run_until(context, [&] { return readable; }));
    }
    SECTION("works with IPv6") {
        if (has_ipv6()) {
            listener target(context, "::1");
            CHECK(result_of("::1", target.port()).peer == "::1");
        } else {
            WARN("skipped: no IPv6 here");
        }
    }
    SECTION("works with any spelling of it") {
        listener target(context, "127.0.0.1");
        CHECK(result_of("0x7f.1", target.port()).peer == "127.0.0.1");
        CHECK(result_of("::ffff:127.0.0.1", target.port()).peer == "127.0.0.1");
    }
    SECTION("lets options be set before") {
        listener target(context, "127.0.0.1");
        connect_options options;
        options.before_connect = [](int descriptor) {
            const int on = 1;
            setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        };
        outcome result = result_of("127.0.0.1", target.port(), std::move(options));
        REQUIRE(result.socket);
        asio::ip::tcp::no_delay no_delay;
        result.socket->get_option(no_delay);
        CHECK(no_delay.value());
    }
    SECTION("reports a refusal") {
        const auto target = refusing_endpoint(context, "127.0.0.1");
        CHECK(result_of("127.0.0.1", target.port()).error == system_error(ECONNREFUSED));
    }
    SECTION("reports silence when the time is over") {
        black_hole target(context, "127.0.0.1");
        const outcome result =
            result_of("127.0.0.1", target.port(), {.timeout = 100ms, .before_connect = {}});
        CHECK(result.error == connect_errc::timed_out);
        CHECK(result.error == std::errc::timed_out);
        CHECK(result.after >= 100ms);
        CHECK(result.after < 5s);
    }
    SECTION("reports a lack of descriptors") {
        outcome result;
        {
            const no_descriptors_left lack;
            connect("127.0.0.1", 9, result);
            CHECK(result.calls == 0);
        }
        CHECK(run_until(context, [&] { return result.calls > 0; }));
        CHECK(result.error == system_error(EMFILE));
    }
    SECTION("reports an address that cannot be dialled") {
        // Multicast is no address for TCP; a link-local one needs a zone.
        CHECK(result_of("ff02::1", 9).error.category() == std::system_category());
        CHECK(result_of("fe80::1", 9).error.category() == std::system_category());
    }
}

TEST_CASE_METHOD(fixture, "a race between the addresses of a name") {
    hosts.write("127.0.0.2 race\n127.0.0.3 race\n");
    const std::size_t before = open_descriptors();
    std::vector<int> families;

    SECTION("goes on at once when an attempt fails") {
        services.attempt_delay = 30s;
        listener target(context, "127.0.0.3");
        const outcome result = result_of("race", target.port());
        CHECK(result.peer == "127.0.0.3");
        CHECK(result.after < 5s);
    }
    SECTION("goes on after the attempt delay, and closes the losers") {
        listener target(context, "127.0.0.3");
        black_hole silent(context, "127.0.0.2", target.port());
        const std::size_t with_targets = open_descriptors();
        const outcome result = result_of("race", target.port());
        CHECK(result.peer == "127.0.0.3");
        CHECK(result.after >= services.attempt_delay);
        CHECK(run_until(context, [&] { return target.accepted().size() == 1; }));
        // The winner, and the target's side of it.
        CHECK(open_descriptors() == with_targets + 2);
    }
    SECTION("is over with the first connection: nothing else is dialled") {
        listener first(context, "127.0.0.2");
        listener second(context, "127.0.0.3", first.port());
        CHECK(result_of("race", first.port(), recording(families)).peer == "127.0.0.2");
        run_until(
            context, [] { return false; }, 2 * services.attempt_delay);
        CHECK(families.size() == 1);
        CHECK(second.accepted().empty());
    }
    SECTION("fails when all have failed") {
        const auto refusing = refusing_endpoint(context, "127.0.0.1");
        const outcome result = result_of("race", refusing.port(), recording(families));
        CHECK(result.error == system_error(ECONNREFUSED));
        CHECK(families.size() == 2);
        CHECK(open_descriptors() == before);
    }
    SECTION("says refused rather than timed out") {
        black_hole silent(context, "127.0.0.3");
        const outcome result =
            result_of("race", silent.port(), {.timeout = 150ms, .before_connect = {}});
        CHECK(result.error == system_error(ECONNREFUSED));
        CHECK(result.after >= 150ms);
    }
    SECTION("says timed out rather than that there was no route for the other address") {
        hosts.write("fe80::1 mixed\n127.0.0.3 mixed\n");
        black_hole silent(context, "127.0.0.3");
        // A table that is new: the old one is kept for a second.
        names.emplace(context, clock, resolver_options{.hosts_path = hosts.path()});
        const outcome result =
            result_of("mixed", silent.port(), {.timeout = 150ms, .before_connect = {}});
        CHECK(result.error == connect_errc::timed_out);
    }
    SECTION("alternates between the families, the preferred one first") {
        if (has_ipv6()) {
            hosts.write("127.0.0.2 three\n127.0.0.3 three\n::1 three\n");
            names.emplace(context, clock, resolver_options{.hosts_path = hosts.path()});
            const auto refusing = refusing_endpoint(context, "127.0.0.1");
            result_of("three", refusing.port(), recording(families));
            CHECK(families == std::vector<int>{AF_INET6, AF_INET, AF_INET});
            families.clear();
            services.prefer_ipv4 = true;
            result_of("three", refusing.port(), recording(families));
            CHECK(families == std::vector<int>{AF_INET, AF_INET6, AF_INET});
        } else {
            WARN("skipped: no IPv6 here");
        }
    }
    SECTION("is between a bounded number of addresses, each of them once") {
        std::string many;
        for (int i = 1; i <= 30; ++i)
            many += "127.0.1." + std::to_string(i) + " many\n";
        hosts.write(many + "127.0.0.2 twice\n127.0.0.2 twice\n");
        names.emplace(context, clock, resolver_options{.hosts_path = hosts.path()});
        const auto refusing = refusing_endpoint(context, "127.0.0.1");
        result_of("many", refusing.port(), recording(families));
        CHECK(families.size() == happy_eyeballs::addresses_max);
        families.clear();
        result_of("twice", refusing.port(), recording(families));
        CHECK(families.size() == 1);
    }
}

TEST_CASE_METHOD(fixture, "addresses that come while the race is on") {
    std::vector<int> families;

    SECTION("are waited for when all before have failed") {
        if (has_ipv6()) {
            listener target(context, "127.0.0.1");
            server.on("late.example", record::aaaa, {.addresses = {"::1"}});
            server.on("late.example", record::a, {.addresses = {"127.0.0.1"}, .delay = 150ms});
            const outcome result = result_of("late.example", target.port(), recording(families));
            CHECK(result.peer == "127.0.0.1");
            CHECK(families == std::vector<int>{AF_INET6, AF_INET});
        } else {
            WARN("skipped: no IPv6 here");
        }
    }
    SECTION("are dialled at once when the attempt delay is over") {
        if (has_ipv6()) {
            listener target(context, "127.0.0.1");
            black_hole silent(context, "::1", target.port());
            server.on("late.example", record::aaaa, {.addresses = {"::1"}});
            server.on("late.example", record::a, {.addresses = {"127.0.0.1"}, .delay = 150ms});
            CHECK(result_of("late.example", target.port()).peer == "127.0.0.1");
        } else {
            WARN("skipped: no IPv6 here");
        }
    }
    SECTION("are dialled after the attempt delay when they come earlier") {
        if (has_ipv6()) {
            services.attempt_delay = 200ms;
            listener target(context, "127.0.0.1");
            black_hole silent(context, "::1", target.port());
            server.on("late.example", record::aaaa, {.addresses = {"::1"}});
            server.on("late.example", record::a, {.addresses = {"127.0.0.1"}, .delay = 30ms});
            const outcome result = result_of("late.example", target.port());
            CHECK(result.peer == "127.0.0.1");
            CHECK(result.after >= services.attempt_delay);
        } else {
            WARN("skipped: no IPv6 here");
        }
    }
    SECTION("are not waited for when a connection stands") {
        listener target(context, "127.0.0.1");
        server.on("half.example", record::a, {.addresses = {"127.0.0.1"}});
        server.on("half.example", record::aaaa, {.silent = true});
        const outcome result = result_of("half.example", target.port());
        CHECK(result.peer == "127.0.0.1");
        CHECK(result.after < 800ms);
        CHECK(names->pending() == 1);
    }
}

TEST_CASE_METHOD(fixture, "a name that has no address") {
    SECTION("ends with the resolver's error") {
        CHECK(result_of("unknown.example", 9).error == resolve_errc::not_found);
        CHECK(result_of("not a name", 9).error == resolve_errc::bad_name);
    }
    SECTION("ends as a time-out of the lookup when the dial's time is over first") {
        server.on("silent.example", {.silent = true});
        const outcome result =
            result_of("silent.example", 9, {.timeout = 50ms, .before_connect = {}});
        CHECK(result.error == resolve_errc::timed_out);
        CHECK(result.after < 800ms);
    }
}

TEST_CASE_METHOD(fixture, "a connect that is cancelled") {
    const std::size_t before = open_descriptors();
    outcome result;

    SECTION("is silent, closes its sockets and drops its handler") {
        listener target(context, "127.0.0.1");
        const std::size_t with_target = open_descriptors();
        const auto owned = std::make_shared<int>(0);
        const auto connecting =
            connect_to_host(services, "127.0.0.1", target.port(), {},
                            [owned](std::error_code, tcp_socket) { FAIL("a handler was called"); });
        CHECK(open_descriptors() == with_target + 1);
        connecting->cancel();
        CHECK(open_descriptors() == with_target);
        CHECK(owned.use_count() == 1);
        run_ready(context);
    }
    SECTION("resets what has connected, and leaves no port in TIME_WAIT") {
        listener target(context, "127.0.0.1");
        connect("127.0.0.1", target.port(), result)->cancel();
        REQUIRE(run_until(context, [&] { return target.accepted().size() == 1; }));
        char byte = 0;
        auto& accepted = target.accepted().front();
        CHECK(::recv(accepted.native_handle(), &byte, 1, MSG_DONTWAIT) == -1);
        CHECK(errno == ECONNRESET);
    }
    SECTION("may be failing already") {
        connect("127.0.0.1", 9, result)->cancel();
        outcome lack;
        {
            const no_descriptors_left none;
            connect("127.0.0.1", 9, lack)->cancel();
        }
        run_until(
            context, [] { return false; }, 30ms);
        CHECK(result.calls == 0);
        CHECK(lack.calls == 0);
    }
    SECTION("may be looking the name up") {
        server.on("slow.example", {.addresses = {"127.0.0.1"}, .delay = 30ms});
        connect("slow.example", 9, result)->cancel();
        CHECK(run_until(context, [&] { return names->pending() == 0; }));
        run_ready(context);
        CHECK(result.calls == 0);
        CHECK(open_descriptors() == before);
    }
    SECTION("may have ended") {
        listener target(context, "127.0.0.1");
        const auto connecting = connect("127.0.0.1", target.port(), result);
        CHECK(run_until(context, [&] { return result.calls > 0; }));
        connecting->cancel();
        CHECK(result.socket->is_open());
        run_ready(context);
        CHECK(result.calls == 1);
    }
}

TEST_CASE_METHOD(fixture, "the resolver may go before the dials do") {
    server.on("slow.example", {.addresses = {"127.0.0.1"}, .delay = 30ms});
    outcome result;
    const auto connecting = connect("slow.example", 9, result, {.timeout = 60ms});
    run_until(context, [&] { return server.asked() > 0; });
    names.reset();
    CHECK(run_until(context, [&] { return result.calls > 0; }));
    CHECK(result.error == std::errc::timed_out);
}

namespace {

/// A race with rules, that counts what it is told.
class ruled : public happy_eyeballs {
  public:
    explicit ruled(const dial_services& services) : happy_eyeballs(services) {}

    std::string forbidden;
    std::vector<std::string> admitted;
    int connected = 0;
    int failed = 0;
    int ended = 0;
    std::error_code error;
    std::string peer;

  private:
    std::error_code admit(const asio::ip::address& address) override {
        if (forbidden.find(address.to_string()) != std::string::npos) {
            return std::make_error_code(std::errc::operation_not_permitted);
        }
        admitted.push_back(address.to_string());
        return {};
    }
    void on_connected(tcp_socket&&, const asio::ip::tcp::endpoint& to) override {
        ++connected;
        peer = to.address().to_string();
    }
    void on_failed(std::error_code why) override {
        ++failed;
        error = why;
    }
    void on_ended() override { ++ended; }
};

} // namespace

TEST_CASE_METHOD(fixture, "addresses that are not admitted") {
    hosts.write("127.0.0.2 host\n127.0.0.3 host\n");
    listener target(context, "127.0.0.3");
    const auto race = std::make_shared<ruled>(services);

    SECTION("are not dialled, the others are") {
        race->forbidden = "127.0.0.2";
        race->start("host", target.port());
        CHECK(run_until(context, [&] { return race->ended > 0; }));
        CHECK(race->peer == "127.0.0.3");
        CHECK(race->admitted == std::vector<std::string>{"127.0.0.3"});
    }
    SECTION("are the reason of the failure if there are no others") {
        race->forbidden = "127.0.0.2 127.0.0.3";
        race->start("host", target.port());
        CHECK(run_until(context, [&] { return race->ended > 0; }));
        CHECK(race->failed == 1);
        CHECK(race->error == std::errc::operation_not_permitted);
        CHECK(target.accepted().empty());
    }
    SECTION("are asked about in the form that is dialled") {
        race->forbidden = "127.0.0.1";
        race->start(asio::ip::tcp::endpoint(asio::ip::make_address("::ffff:127.0.0.1"), 9));
        CHECK(race->failed == 0); // never from inside start()
        CHECK(run_until(context, [&] { return race->ended > 0; }));
        CHECK(race->error == std::errc::operation_not_permitted);
    }
    SECTION("tell more than an address without a route, and less than one that was dialled") {
        hosts.write("fe80::1 nowhere\n127.0.0.2 nowhere\n127.0.0.2 refused\n127.0.0.4 refused\n");
        names.emplace(context, clock, resolver_options{.hosts_path = hosts.path()});
        race->forbidden = "127.0.0.2";
        const auto other = std::make_shared<ruled>(services);
        other->forbidden = "127.0.0.2";
        race->start("nowhere", target.port());
        other->start("refused", target.port());
        CHECK(run_until(context, [&] { return race->ended > 0 && other->ended > 0; }));
        CHECK(race->error == std::errc::operation_not_permitted);
        CHECK(other->error == system_error(ECONNREFUSED));
    }
}

TEST_CASE_METHOD(fixture, "a race has ended") {
    const auto race = std::make_shared<ruled>(services);

    SECTION("right after its connection stands") {
        listener target(context, "127.0.0.1");
        race->start(target.endpoint());
        CHECK(race->ended == 0);
        CHECK(run_until(context, [&] { return race->connected == 1; }));
        CHECK(race->ended == 1);
    }
    SECTION("when its lookup has, even if it was decided before") {
        listener target(context, "127.0.0.1");
        server.on("half.example", record::a, {.addresses = {"127.0.0.1"}});
        server.on("half.example", record::aaaa, {.delay = 300ms});
        race->start("half.example", target.port());
        CHECK(run_until(context, [&] { return race->connected == 1; }));
        CHECK(race->ended == 0);
        CHECK(run_until(context, [&] { return race->ended == 1; }));
    }
    SECTION("when its lookup has, even if it was cancelled before") {
        server.on("slow.example", {.addresses = {"127.0.0.1"}, .delay = 30ms});
        race->start("slow.example", 9);
        race->cancel();
        CHECK(race->ended == 0);
        CHECK(run_until(context, [&] { return race->ended == 1; }));
        CHECK(race->connected + race->failed == 0);
    }
    SECTION("at once when it is cancelled without a lookup") {
        listener target(context, "127.0.0.1");
        race->start(target.endpoint());
        race->cancel();
        CHECK(race->ended == 1);
        race->cancel();
        run_ready(context);
        CHECK(race->ended == 1);
    }
}
