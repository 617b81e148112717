/// \file
/// A library to preload into a program: it makes CLOCK_BOOTTIME run ahead of CLOCK_MONOTONIC, as
/// after a suspended machine has woken up. How far ahead, in milliseconds as text, stands in the
/// file that $MUXSOCKS_BOOT_CLOCK names; it is read at each call, so that a test decides when the
/// machine wakes up. Every other clock, and this one without the file, is the kernel's.

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

namespace {

long milliseconds_ahead() {
    const char* const path = std::getenv("MUXSOCKS_BOOT_CLOCK");
    if (path == nullptr) return 0;
    const int file = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    char text[32] = {};
    const ssize_t length = ::read(file, text, sizeof text - 1);
    ::close(file);
    return length > 0 ? std::strtol(text, nullptr, 10) : 0;
}

} // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
    const long result = ::syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_BOOTTIME) {
        const long ahead = milliseconds_ahead();
        now->tv_sec += ahead / 1000;
        now->tv_nsec += ahead % 1000 * 1'000'000;
        if (now->tv_nsec >= 1'000'000'000) {
            now->tv_nsec -= 1'000'000'000;
            ++now->tv_sec;
        }
    }
    return static_cast<int>(result);
}
