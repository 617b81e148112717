#include "protocol/program/service_manager.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <boost/asio/executor_work_guard.hpp>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <optional>
#include <thread>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

namespace {

/// The manager's end: a datagram socket at a path, or at an abstract name behind "@".
class listening_manager {
  public:
    explicit listening_manager(const std::string& name)
        : descriptor_(::socket(AF_UNIX, SOCK_DGRAM, 0)), variable_("NOTIFY_SOCKET", name) {
        ::sockaddr_un address{};
        address.sun_family = AF_UNIX;
        name.copy(address.sun_path, name.size());
        if (name[0] == '@') address.sun_path[0] = '\0';
        const auto size = offsetof(::sockaddr_un, sun_path) + name.size();
        REQUIRE(::bind(descriptor_, reinterpret_cast<const ::sockaddr*>(&address),
                       static_cast<::socklen_t>(size)) == 0);
    }
    ~listening_manager() { ::close(descriptor_); }
    listening_manager(const listening_manager&) = delete;
    listening_manager& operator=(const listening_manager&) = delete;

    /// The next message; empty if none has come.
    std::string next() {
        std::array<char, 1024> text{};
        const auto size = ::recv(descriptor_, text.data(), text.size(), MSG_DONTWAIT);
        return size < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(size));
    }

  private:
    int descriptor_;
    environment_variable variable_;
};

} // namespace

TEST_CASE("what a service manager is told") {
    const temporary_folder folder;
    listening_manager listening(GENERATE_COPY(true, false)
                                    ? (folder.path() / "notify").string()
                                    : "@muxsocks-test-" + std::to_string(::getpid()));
    service_manager manager;
    SECTION("is that the program is ready") {
        manager.ready("serving");
        CHECK(listening.next() == "READY=1\nSTATUS=serving");
    }
    SECTION("has a status of one line") {
        manager.ready("no\nREADY=0");
        CHECK(listening.next() == "READY=1\nSTATUS=no READY=0");
    }
    SECTION("is that it reloads, and since when") {
        const auto before = std::chrono::steady_clock::now().time_since_epoch();
        manager.reloading();
        const auto text = listening.next();
        const std::string head = "RELOADING=1\nMONOTONIC_USEC=";
        REQUIRE(text.starts_with(head));
        const std::chrono::microseconds since(std::stoull(text.substr(head.size())));
        CHECK(since >= std::chrono::duration_cast<std::chrono::microseconds>(before));
        CHECK(since <= std::chrono::steady_clock::now().time_since_epoch());
    }
    SECTION("is that it stops, and how long that may take") {
        manager.stopping(35s);
        CHECK(listening.next() == "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000");
    }
    SECTION("is that it is alive") {
        manager.alive();
        CHECK(listening.next() == "WATCHDOG=1");
    }
}

TEST_CASE("without a service manager nothing is sent, and nothing fails") {
    service_manager manager;
    manager.ready("serving");
    CHECK(manager.alive_interval() == 0us);
    const environment_variable gone("NOTIFY_SOCKET", "/no/such/socket");
    service_manager lost;
    lost.ready("serving");
    const environment_variable long_name("NOTIFY_SOCKET", std::string(200, 'x'));
    service_manager confused;
    confused.ready("serving");
}

TEST_CASE("the watchdog's time") {
    const environment_variable socket("NOTIFY_SOCKET", "/no/such/socket");
    std::optional<environment_variable> micros(std::in_place, "WATCHDOG_USEC", "30000000");
    SECTION("is halved") { CHECK(service_manager().alive_interval() == 15s); }
    SECTION("may be for this process") {
        const environment_variable process("WATCHDOG_PID", std::to_string(::getpid()));
        CHECK(service_manager().alive_interval() == 15s);
    }
    SECTION("may be for another process, and is no business of this one then") {
        const environment_variable process("WATCHDOG_PID", std::to_string(::getpid() + 1));
        CHECK(service_manager().alive_interval() == 0s);
    }
    SECTION("is off if it is no number") {
        micros.emplace("WATCHDOG_USEC", "soon");
        CHECK(service_manager().alive_interval() == 0s);
    }
}

TEST_CASE("the watchdog") {
    const temporary_folder folder;
    listening_manager listening((folder.path() / "notify").string());
    const environment_variable micros("WATCHDOG_USEC", "20000"); // Every 10 ms.
    service_manager manager;
    asio::io_context first(1);
    asio::io_context second(1);
    deadlines clock(first);
    service_watchdog watchdog(manager, clock, {&first, &second});
    watchdog.start();
    SECTION("is silent while one thread does not answer") {
        first.run_for(50ms);
        CHECK(listening.next().empty());
    }
    SECTION("speaks when all threads have answered") {
        first.run_for(50ms);
        second.poll();
        CHECK(listening.next() == "WATCHDOG=1");
    }
}
