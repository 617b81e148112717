#include "protocol/link/loop/parked_sockets.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <vector>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

struct looked_at final : parked_socket {
    bool look() override {
        ++looks;
        return changes;
    }
    int looks = 0;
    bool changes = false;
};

struct fixture {
    asio::io_context context;
    deadlines clock{context};
    std::deque<looked_at> some;
    parked_sockets all{clock};

    looked_at& add() {
        auto& one = some.emplace_back();
        all.add(one);
        return one;
    }
};

} // namespace

TEST_CASE_METHOD(fixture, "a socket that stands still") {
    SECTION("is looked at again and again until it moves") {
        const auto begun = std::chrono::steady_clock::now();
        auto& one = add();
        CHECK(run_until(context, [&] { return one.looks == 1; }));
        CHECK(std::chrono::steady_clock::now() - begun >= parked_sockets::patience);
        CHECK(run_until(context, [&] { return one.looks == 2; }));
        all.remove(one);
        CHECK(all.size() == 0);
    }
    SECTION("is looked at though thousands of others are there") {
        for (int i = 0; i < 3'000; ++i)
            add();
        CHECK(run_until(context, [&] {
            return std::ranges::all_of(some, [](const auto& each) { return each.looks > 0; });
        }));
    }
    SECTION("is looked at less often while nothing changes, and at once often beside a new one") {
        add();
        const auto longer = [&] { return all.pause() > parked_sockets::pause_min; };
        CHECK(run_until(context, longer, std::chrono::seconds(30)));
        add().changes = true;
        CHECK(all.pause() == parked_sockets::pause_min);
    }
}

TEST_CASE_METHOD(fixture, "a socket that moves soon is not looked at") {
    auto& other = add();
    auto& one = add();
    all.remove(one);
    CHECK(run_until(context, [&] { return other.looks > 0; }));
    CHECK(one.looks == 0);
}

TEST_CASE("what the kernel holds for a socket") {
    asio::io_context context;
    listener from(context, "127.0.0.1");
    tcp_socket one(context);
    one.connect(from.endpoint());
    REQUIRE(run_until(context, [&] { return from.accepted().size() == 1; }));
    CHECK(kernel_memory_of(one.native_handle()) == 0);
    const std::vector<char> bytes(10'000);
    const int other = from.accepted().front().native_handle();
    REQUIRE(::send(other, bytes.data(), bytes.size(), 0) == 10'000);
    CHECK(run_until(context, [&] { return kernel_memory_of(one.native_handle()) >= 10'000; }));
    CHECK(kernel_memory_of(-1) == 0);
}
