#include "protocol/program/resources.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <string_view>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace muxsocks {

namespace {

namespace fs = std::filesystem;

/// Files beside the streams: links, listeners, resolver, event loops, log, libraries.
constexpr std::uint64_t other_files = 128;

/// Where nothing tells: small enough to run anywhere.
constexpr std::uint64_t memory_fallback = 1ULL << 30;

std::optional<std::uint64_t> first_number(const fs::path& path) {
    std::ifstream file(path);
    std::uint64_t value = 0;
    // "max", of cgroup version 2, is no number and no limit.
    if (file >> value) return value;
    return std::nullopt;
}

std::optional<std::uint64_t> host_memory(const fs::path& root) {
    std::ifstream file(root / "proc/meminfo");
    std::string key;
    std::uint64_t kilobytes = 0;
    std::string rest;
    while (file >> key >> kilobytes) {
        if (key == "MemTotal:") return kilobytes * 1024;
        std::getline(file, rest);
    }
    return std::nullopt;
}

/// Lowest limit of `group` and the groups around it. A container may see its group under the path
/// that it has outside, of which only the root exists inside.
std::optional<std::uint64_t> lowest_limit(const fs::path& hierarchy, const fs::path& group,
                                          const char* file) {
    std::optional<std::uint64_t> lowest;
    fs::path below = group.relative_path();
    while (true) {
        const auto limit = first_number(hierarchy / below / file);
        if (limit && (!lowest || *limit < *lowest)) lowest = limit;
        if (below.empty()) return lowest;
        below = below.parent_path();
    }
}

/// One line of /proc/self/cgroup, "hierarchy:controllers:/group" (cgroups(7)).
std::optional<std::uint64_t> limit_of_line(const fs::path& root, const std::string& line) {
    std::istringstream fields(line);
    std::string hierarchy;
    std::string controllers;
    std::string group;
    std::getline(fields, hierarchy, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, group);
    const fs::path mounted = root / "sys/fs/cgroup";
    if (controllers.empty()) return lowest_limit(mounted, group, "memory.max");
    if (("," + controllers + ",").find(",memory,") == std::string::npos) return std::nullopt;
    return lowest_limit(mounted / "memory", group, "memory.limit_in_bytes");
}

void open_standard_descriptors() {
    for (int fd = 0; fd <= 2; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        // The lowest free descriptor is this one.
        if (::open("/dev/null", O_RDWR) < 0) return;
    }
}

} // namespace

namespace {

/// Keys and tokens stay in memory: no file of it after a crash, and no debugger of the same user,
/// who may be another service. Root can look all the same.
void hide_memory() {
    const char* const wanted = std::getenv("MUXSOCKS_DUMPABLE");
    if (wanted != nullptr && std::string_view(wanted) == "1") return;
    const rlimit none{};
    (void)::setrlimit(RLIMIT_CORE, &none);
    (void)::prctl(PR_SET_DUMPABLE, 0);
}

} // namespace

std::uint64_t prepare_process() {
    hide_memory();
#ifdef MUXSOCKS_STATIC
    // openssl.cnf may name modules to load, which have been built for another C library.
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
#endif
    open_standard_descriptors();
    std::signal(SIGPIPE, SIG_IGN);
    // A file at RLIMIT_FSIZE is an error of write(), as a full disk is.
    std::signal(SIGXFSZ, SIG_IGN);
    return raise_file_limit();
}

std::uint64_t raise_file_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return other_files;
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return before;
    return limit.rlim_cur;
}

std::optional<std::string> file_limit_warning(std::uint64_t limit, std::uint64_t streams) {
    const std::uint64_t needed = streams + other_files;
    if (limit >= needed) return std::nullopt;
    return "This process may open " + std::to_string(limit) + " files, but " +
           std::to_string(streams) + " streams at once need " + std::to_string(needed) +
           "; raise the hard limit (LimitNOFILE= of systemd, \"ulimit -Hn\").";
}

std::optional<std::string> file_limit_check::check(std::uint64_t streams) {
    auto warning = file_limit_warning(limit_, streams);
    if (!warning || said_.exchange(true)) return std::nullopt;
    return warning;
}

std::uint64_t usable_memory(const fs::path& root) {
    std::uint64_t memory = host_memory(root).value_or(memory_fallback);
    std::ifstream groups(root / "proc/self/cgroup");
    std::string line;
    while (std::getline(groups, line)) {
        if (const auto limit = limit_of_line(root, line)) memory = std::min(memory, *limit);
    }
    return memory;
}

std::uint32_t usable_cores() { return std::max(1U, std::thread::hardware_concurrency()); }

} // namespace muxsocks
