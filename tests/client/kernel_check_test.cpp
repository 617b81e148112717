/// \file
/// What doctor says about the kernel, for facts as kernels have them.

#include "client/kernel_check.hpp"

#include "tests/catch.hpp"

using namespace muxsocks::client;
using namespace std::chrono_literals;
using muxsocks::test::contains;

namespace {

const kernel_facts plain{"reno cubic", "4096\t16384\t4194304", "4096\t131072\t6291456", false};
const kernel_facts good{"reno cubic bbr", "4096 16384 67108864", "4096 131072 67108864", false};

} // namespace

TEST_CASE("a kernel that lacks nothing for long lines") {
    CHECK(kernel_lacks(good, "auto", 300ms).empty());
}

TEST_CASE("a kernel as it comes") {
    const auto lacks = kernel_lacks(plain, "auto", 100ms);
    REQUIRE(lacks.size() == 3);
    SECTION("has no BBR") {
        CHECK_THAT(lacks[0].what, contains("BBR"));
        CHECK_THAT(lacks[0].cure, contains("modprobe tcp_bbr") && !contains("container"));
    }
    SECTION("bounds what is under way, both ways") {
        CHECK_THAT(lacks[1].what, contains("4096 KiB") && contains("tcp_wmem"));
        CHECK_THAT(lacks[1].cure, contains("sysctl -w net.ipv4.tcp_wmem=\"4096 16384 67108864\""));
        CHECK_THAT(lacks[2].what, contains("6144 KiB") && contains("tcp_rmem"));
        CHECK_THAT(lacks[2].cure, contains("sysctl -w net.ipv4.tcp_rmem=\"4096 131072 67108864\""));
    }
}

TEST_CASE("a path tells what it asks for") {
    SECTION("a short one nothing") { CHECK(kernel_lacks(plain, "auto", 800us).empty()); }
    SECTION("a longer one BBR") { CHECK(kernel_lacks(plain, "auto", 5ms).size() == 1); }
    SECTION("and who has chosen another congestion control does not want it") {
        CHECK(kernel_lacks(plain, "cubic", 5ms).empty());
        CHECK(kernel_lacks(plain, "", 5ms).empty());
    }
}

TEST_CASE("in a container it is the host that has to load BBR, and the container that has bounds") {
    auto inside = plain;
    inside.in_container = true;
    const auto lacks = kernel_lacks(inside, "auto", 100ms);
    REQUIRE(lacks.size() == 3);
    CHECK_THAT(lacks[0].cure, contains("on the machine that runs this container"));
    CHECK_THAT(lacks[1].cure, contains("sysctls") && contains("tcp_wmem"));
}

TEST_CASE("what cannot be read is not missing") {
    CHECK(kernel_lacks({}, "auto", 100ms).empty());
    CHECK(kernel_lacks({"bbr", "nonsense", "1 2", false}, "auto", 100ms).empty());
}

TEST_CASE("a name that begins like bbr is another one") {
    CHECK(kernel_lacks({"reno bbr2", good.wmem, good.rmem, false}, "auto", 100ms).size() == 1);
}
