#include "protocol/program/hand_over.hpp"

#include "protocol/program/stopped_threads.hpp"
#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <boost/asio/executor_work_guard.hpp>

#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <future>
#include <numeric>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

namespace {

using kind = hand_over_channel::kind;

struct channel_pair {
    channel_pair() {
        int both[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both) == 0);
        near.emplace(both[0]);
        far.emplace(both[1]);
    }
    std::optional<hand_over_channel> near;
    std::optional<hand_over_channel> far;
};

::ino_t inode(int descriptor) {
    struct ::stat found {};
    REQUIRE(::fstat(descriptor, &found) == 0);
    return found.st_ino;
}

} // namespace

TEST_CASE("a message between two processes") {
    channel_pair channels;
    SECTION("comes as it was sent, also in many packets and with more descriptors than one takes") {
        std::vector<std::uint8_t> bytes(1'000'003);
        std::iota(bytes.begin(), bytes.end(), std::uint8_t{3});
        int pipe[2];
        REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
        std::vector<int> descriptors(450, pipe[0]);
        descriptors.back() = pipe[1];
        auto sent = std::async(std::launch::async, [&] {
            return channels.near->send(kind::session, bytes, descriptors);
        });
        auto came = channels.far->receive();
        REQUIRE(sent.get());
        REQUIRE(came);
        CHECK(came->what == kind::session);
        CHECK(came->bytes == bytes);
        CHECK(came->descriptors.size() == descriptors.size());
        for (const int each : descriptors) {
            const int one = came->descriptors.take();
            CHECK(inode(one) == inode(each));
            CHECK((::fcntl(one, F_GETFD) & FD_CLOEXEC) != 0);
            ::close(one);
        }
        ::close(pipe[0]);
        ::close(pipe[1]);
    }
    SECTION("may be empty") {
        REQUIRE(channels.near->send(kind::ready));
        const auto came = channels.far->receive();
        REQUIRE(came);
        CHECK(came->what == kind::ready);
        CHECK(came->bytes.empty());
    }
    SECTION("does not come where the other one is gone") {
        channels.near.reset();
        CHECK_FALSE(channels.far->receive());
        CHECK_FALSE(channels.far->send(kind::ready));
    }
    SECTION("cannot be sent to who receives no more, who still gets what had come") {
        REQUIRE(channels.near->send(kind::serving));
        const auto came = channels.far->stop_receiving();
        REQUIRE(came);
        CHECK(came->what == kind::serving);
        CHECK_FALSE(channels.near->send(kind::serving));
        CHECK_FALSE(channels.far->stop_receiving());
        CHECK(channels.far->send(kind::refused));
        CHECK(channels.near->receive());
    }
    SECTION("is for the same user, whose process is known to run") {
        CHECK(channels.near->peer_is_ours());
        CHECK(channels.near->peer_process() == ::getpid());
    }
}

TEST_CASE("whether the process at the other end has ended is known") {
    temporary_folder folder;
    const auto path = (folder.path() / "offer.sock").string();
    int listening[2];
    REQUIRE(::pipe2(listening, O_CLOEXEC) == 0);
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const hand_over_offer offer(path, [](hand_over_channel&) { return false; });
        (void)!::write(listening[1], "x", 1);
        ::pause();
        ::_exit(0);
    }
    char byte = 0;
    REQUIRE(::read(listening[0], &byte, 1) == 1);
    const auto channel = hand_over_channel::connect(path);
    REQUIRE(channel);
    CHECK(channel->peer_process() == child);
    ::kill(child, SIGKILL);
    CHECK(channel->peer_has_ended());
    ::waitpid(child, nullptr, 0);
    ::close(listening[0]);
    ::close(listening[1]);
}

TEST_CASE("an offer") {
    temporary_folder folder;
    const auto path = (folder.path() / "offer.sock").string();
    const auto refuse = [](hand_over_channel& to) {
        to.send(kind::refused, std::string_view("first"));
        return false;
    };
    auto first = std::make_unique<hand_over_offer>(path, refuse);

    SECTION("is its user's alone, and goes with its process") {
        struct ::stat found {};
        REQUIRE(::stat(path.c_str(), &found) == 0);
        CHECK((found.st_mode & 0777) == 0600);
        first.reset();
        CHECK(::stat(path.c_str(), &found) != 0);
    }
    SECTION("may be in the abstract namespace") {
        const auto name = "@muxsocks-test-" + std::to_string(::getpid());
        auto other = std::make_unique<hand_over_offer>(name, refuse);
        CHECK(other->offered());
        CHECK_FALSE(hand_over_offer(name, refuse).offered());
        auto channel = hand_over_channel::connect(name);
        REQUIRE(channel);
        CHECK(channel->receive());
        other.reset();
        CHECK_FALSE(hand_over_channel::connect(name));
    }
    SECTION("is found under a new name after a reload") {
        const auto other = (folder.path() / "other.sock").string();
        first->move_to(other);
        CHECK_FALSE(hand_over_channel::connect(path));
        CHECK(hand_over_channel::connect(other));
    }
    SECTION("is the newest one's, and is left alone when the first one goes") {
        const hand_over_offer second(path, [](hand_over_channel& to) {
            to.send(kind::refused, std::string_view("second"));
            return false;
        });
        first.reset();
        auto channel = hand_over_channel::connect(path);
        REQUIRE(channel);
        const auto said = channel->receive();
        REQUIRE(said);
        CHECK(std::string(said->bytes.begin(), said->bytes.end()) == "second");
    }
}

TEST_CASE("where a process offers its place is found by what it listens on") {
    const environment_variable runtime("RUNTIME_DIRECTORY", "/run/one:/run/two");
    const listen_address tcp{{"127.0.0.1", 1080}, false};
    listen_address local{{"/run/x", 0}, false};
    local.type = listen_address::kind::unix_path;
    const auto of = [](std::vector<listen_address> all) {
        return hand_over_path(program_role::server, all);
    };
    CHECK(of({tcp}).starts_with("/run/one/muxsocks-server-"));
    CHECK(of({tcp}) == of({tcp}));
    CHECK(of({tcp}) != of({tcp, local}));
    CHECK(of({local}) != hand_over_path(program_role::client, {{local}}));
    const environment_variable none("RUNTIME_DIRECTORY", "");
    const environment_variable neither("XDG_RUNTIME_DIR", "");
    CHECK(of({tcp}).empty());
    const auto name = stopping_name(program_role::server, {{tcp}});
    CHECK(name.starts_with("@muxsocks-server-"));
    CHECK(name != stopping_name(program_role::server, {{local}}));
}

TEST_CASE("threads that stand still") {
    asio::io_context contexts[2];
    const std::vector<asio::io_context*> all{&contexts[0], &contexts[1]};
    SECTION("leave what is theirs to another one, and go on with what it has made of it") {
        std::uint64_t rounds[2]{}; // Each its thread's own.
        std::function<void(std::size_t)> go_round = [&](std::size_t i) {
            asio::post(contexts[i], [&, i] {
                ++rounds[i];
                go_round(i);
            });
        };
        go_round(0);
        go_round(1);
        std::thread threads[]{std::thread([&] { contexts[0].run(); }),
                              std::thread([&] { contexts[1].run(); })};
        constexpr std::uint64_t far = 1'000'000'000'000;
        {
            const stopped_threads stopped(all, 20s);
            REQUIRE(stopped.all_here());
            CHECK(stopped.size() == 2);
            for (auto& each : rounds)
                each = far;
        }
        {
            // Each has had its turn before it comes to this.
            const stopped_threads stopped(all, 20s);
            REQUIRE(stopped.all_here());
            for (const auto each : rounds)
                CHECK(each > far);
        }
        for (auto& each : contexts)
            each.stop();
        for (auto& each : threads)
            each.join();
    }
    SECTION("are not waited for where they do not run, and later pass by") {
        { CHECK_FALSE(stopped_threads(all, 10ms).all_here()); }
        CHECK(contexts[0].run() == 1);
    }
}
