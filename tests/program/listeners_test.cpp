#include "protocol/program/listeners.hpp"

#include "protocol/program/log.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

namespace {

class listening {
  public:
    listening() {
        log::open({log_level::info, log_format::text, (folder_.path() / "a.log").string(), false});
        const std::vector<listen_address> addresses{{{"127.0.0.1", 0}, false}};
        all.open(addresses);
        all.accept();
        sockaddr_in bound{};
        ::socklen_t size = sizeof bound;
        ::getsockname(all.native_handles().at(0), reinterpret_cast<sockaddr*>(&bound), &size);
        port = ntohs(bound.sin_port);
    }
    ~listening() { log::open({}); }
    listening(const listening&) = delete;
    listening& operator=(const listening&) = delete;

    /// The errno of a connect that is given up at once afterwards.
    int connect() const {
        const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int error =
            ::connect(one, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
        ::close(one);
        return error;
    }

    template <typename Condition>
    bool run_until(Condition condition) {
        const auto end = std::chrono::steady_clock::now() + 20s;
        while (!condition() && std::chrono::steady_clock::now() < end) {
            context.run_one_for(20ms);
            ++turns;
        }
        return condition();
    }

    long lines(const std::string& text) const {
        (void)log::flush(10s);
        std::istringstream all_lines(folder_.read("a.log"));
        long found = 0;
        for (std::string line; std::getline(all_lines, line);)
            found += line.find(text) != std::string::npos ? 1 : 0;
        return found;
    }

    asio::io_context context{1};
    deadlines clock{context};
    int taken = 0;
    int turns = 0;
    listeners all{context, clock, "tests", [this](int descriptor, const listen_address&) {
                      ++taken;
                      ::close(descriptor);
                  }};
    std::uint16_t port = 0;

  private:
    temporary_folder folder_;
};

} // namespace

TEST_CASE("a listener") {
    listening here;
    SECTION("takes what connects") {
        CHECK(here.connect() == 0);
        CHECK(here.run_until([&] { return here.taken == 1; }));
    }
    SECTION("that was shut down from outside is opened anew on its port, which is said once") {
        REQUIRE(::shutdown(here.all.native_handles().at(0), SHUT_RD) == 0);
        CHECK(here.run_until([&] { return here.connect() == 0; }));
        CHECK(here.run_until([&] { return here.taken > 0; }));
        CHECK(here.lines("cannot accept a connection: Invalid argument") == 1);
        CHECK(here.lines("was shut down from outside") == 1);
        CHECK(here.lines("listening for tests on 127.0.0.1") == 2);
    }
    SECTION("that was shut down and whose port is taken comes back when that is free") {
        const int old = here.all.native_handles().at(0);
        REQUIRE(::shutdown(old, SHUT_RD) == 0);
        std::optional<tcp_acceptor> other =
            open_listener(here.context, {{"127.0.0.1", here.port}, false});
        REQUIRE(other);
        CHECK(here.run_until([&] { return here.lines("another program listens there") == 1; }));
        other.reset();
        CHECK(here.run_until([&] {
            (void)here.connect();
            return here.taken > 0;
        }));
    }
    SECTION("without a file left pauses, says so once, and goes on") {
        ::rlimit whole{};
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &whole) == 0);
        const int connecting = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(here.port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(connecting, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
        const ::rlimit none{0, whole.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto end = std::chrono::steady_clock::now() + 350ms;
        here.turns = 0;
        (void)here.run_until([&] { return std::chrono::steady_clock::now() > end; });
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &whole) == 0);
        CHECK(here.taken == 0);
        // A listener that does not pause makes a turn each microsecond.
        CHECK(here.turns < 100);
        CHECK(here.lines("no file descriptor left") == 1);
        CHECK(here.run_until([&] { return here.taken == 1; }));
        ::close(connecting);
    }
    SECTION("has its port for itself") {
        CHECK_THROWS_WITH(open_listener(here.context, {{"127.0.0.1", here.port}, false}),
                          contains("cannot listen on 127.0.0.1:") &&
                              contains("another program listens there"));
        CHECK_THROWS_WITH(open_listener(here.context, {{"0.0.0.0", here.port}, false}),
                          contains("another program listens there"));
        CHECK_THROWS_WITH(open_listener(here.context, {{"", here.port}, false}),
                          contains("another program listens there"));
    }
    SECTION("goes when a reload no longer names it, and what is new comes") {
        const std::vector<listen_address> next{{{"127.0.0.2", 0}, false}};
        here.all.move_to(next);
        CHECK(here.connect() == ECONNREFUSED);
        CHECK(here.lines("listening for tests on 127.0.0.2") == 1);
        here.all.close();
        CHECK(here.all.native_handles().empty());
        here.context.poll();
    }
}
