#include "protocol/program/resources.hpp"

#include "tests/catch.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace muxsocks;
using muxsocks::test::contains;

namespace {

constexpr std::uint64_t gib = 1ULL << 30;

/// A system with 8 GiB of memory and what the tests add.
class pretended_system {
  public:
    pretended_system() { write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n"); }
    void write(const std::string& file, const std::string& text) const {
        folder_.write(file, text);
    }
    [[nodiscard]] std::uint64_t memory() const { return usable_memory(folder_.path()); }

  private:
    test::temporary_folder folder_;
};

} // namespace

TEST_CASE("the memory that this process may use") {
    const pretended_system system;
    SECTION("is the host's without a limit") {
        CHECK(system.memory() == 8 * gib);
        system.write("proc/self/cgroup", "0::/user.slice\n");
        system.write("sys/fs/cgroup/user.slice/memory.max", "max\n");
        CHECK(system.memory() == 8 * gib);
    }
    SECTION("is that of its group of version 2") {
        system.write("proc/self/cgroup", "0::/system.slice/muxsocks.service\n");
        system.write("sys/fs/cgroup/system.slice/muxsocks.service/memory.max", "1073741824\n");
        CHECK(system.memory() == gib);
    }
    SECTION("is that of the tightest group around") {
        system.write("proc/self/cgroup", "0::/a/b/c\n");
        system.write("sys/fs/cgroup/a/b/c/memory.max", "4294967296\n");
        system.write("sys/fs/cgroup/a/memory.max", "2147483648\n");
        CHECK(system.memory() == 2 * gib);
    }
    SECTION("is that of the group that a container sees as its root") {
        system.write("proc/self/cgroup", "0::/docker/0123\n");
        system.write("sys/fs/cgroup/memory.max", "536870912\n");
        CHECK(system.memory() == gib / 2);
    }
    SECTION("is that of its group of version 1") {
        system.write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/0123\n0::/\n");
        system.write("sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes", "1073741824\n");
        CHECK(system.memory() == gib);
    }
    SECTION("is never more than the host has") {
        system.write("proc/self/cgroup", "4:memory:/\n");
        system.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        CHECK(system.memory() == 8 * gib);
    }
    SECTION("is found on this machine too") { CHECK(usable_memory() > 16U << 20); }
}

TEST_CASE("the limit of open files") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit lowered = before;
    lowered.rlim_cur = before.rlim_max / 2;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &lowered) == 0);
    SECTION("is raised as far as it goes") {
        CHECK(raise_file_limit() == before.rlim_max);
        rlimit after{};
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &after) == 0);
        CHECK(after.rlim_cur == before.rlim_max);
    }
    SECTION("is worth a warning when it does not carry the streams") {
        CHECK_FALSE(file_limit_warning(16'384 + 128, 16'384));
        CHECK_THAT(file_limit_warning(1024, 16'384).value(),
                   contains("1024 files") && contains("16384 streams") && contains("16512"));
    }
    SECTION("is worth it once") {
        file_limit_check once(1024);
        CHECK_FALSE(once.check(896));
        CHECK(once.check(897) == file_limit_warning(1024, 897));
        CHECK_FALSE(once.check(897));
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE("a prepared process has standard descriptors") {
    const int saved = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    ::close(STDIN_FILENO);
    prepare_process();
    CHECK(::fcntl(STDIN_FILENO, F_GETFD) >= 0);
    if (saved >= 0) {
        ::dup2(saved, STDIN_FILENO);
        ::close(saved);
    }
}

TEST_CASE("a prepared process outlives a pipe that nobody reads") {
    prepare_process();
    int ends[2] = {-1, -1};
    REQUIRE(::pipe(ends) == 0);
    ::close(ends[0]);
    CHECK(::write(ends[1], "x", 1) == -1);
    CHECK(errno == EPIPE);
    ::close(ends[1]);
}

TEST_CASE("there is a core to run on") { CHECK(usable_cores() >= 1); }
