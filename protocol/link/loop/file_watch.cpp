#include "protocol/link/loop/file_watch.hpp"

#include <sys/stat.h>

namespace muxsocks {

namespace {

constexpr std::chrono::seconds look_interval{1};

} // namespace

bool file_watch::has_changed(std::chrono::steady_clock::time_point now) {
    if (now < next_look_) return false;
    next_look_ = now + look_interval;
    identity found;
    struct stat status {};
    if (::stat(path_.c_str(), &status) == 0) {
        found = {.device = status.st_dev,
                 .inode = status.st_ino,
                 .size = status.st_size,
                 .seconds = status.st_mtim.tv_sec,
                 .nanoseconds = status.st_mtim.tv_nsec};
    }
    if (found == seen_) return false;
    seen_ = found;
    return true;
}

} // namespace muxsocks
