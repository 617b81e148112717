#pragma once

/// \file
/// What the system lets this process use (memory, cores, open files), and what a process sets up
/// about itself before it does anything else.

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace muxsocks {

/// First thing in main. Keeps the process's memory, in which keys are, from core dumps and from
/// other processes of its user ($MUXSOCKS_DUMPABLE=1 gives it to debuggers). Ignores SIGPIPE (a log
/// or socket that nobody reads must not end the program), makes descriptors 0, 1 and 2 exist (else
/// a socket could become standard error), and raises the limit of open files. Returns that limit.
std::uint64_t prepare_process();

/// Raises the soft limit of open files (RLIMIT_NOFILE) to the hard one. Returns the limit in force.
std::uint64_t raise_file_limit();

/// A sentence for the log if `limit` open files do not carry `streams` streams at once (a socket
/// each) beside some hundred files for everything else; nothing if they do.
[[nodiscard]] std::optional<std::string> file_limit_warning(std::uint64_t limit,
                                                            std::uint64_t streams);

/// Says so once if the limit does not carry what is allowed, for a program that learns only while
/// it runs how many streams that is. Any thread.
class file_limit_check {
  public:
    explicit file_limit_check(std::uint64_t limit) : limit_(limit) {}
    /// The sentence, the first time that there is one.
    [[nodiscard]] std::optional<std::string> check(std::uint64_t streams);

  private:
    std::uint64_t limit_;
    std::atomic<bool> said_{false};
};

/// Bytes of memory that this process may use: the host's, or the limit of its cgroup (version 1 or
/// 2, the lowest of the chain) where that is less. `root` is "/" but for tests, which lay /proc and
/// /sys/fs/cgroup below another folder.
[[nodiscard]] std::uint64_t usable_memory(const std::filesystem::path& root = "/");

/// Cores that this process may run on, at least 1.
[[nodiscard]] std::uint32_t usable_cores();

} // namespace muxsocks
