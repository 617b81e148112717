#pragma once

/// \file
/// Notices that a small system file was changed or replaced, for those who keep its content.

#include <chrono>
#include <cstdint>
#include <string>

namespace muxsocks {

/// Says whether a file has changed since the last call, at most once a second: one stat() then.
class file_watch {
  public:
    explicit file_watch(std::string path) : path_(std::move(path)) {}

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Whether the file is another one than at the last call; true at the first. A file that cannot
    /// be read counts as one that is empty.
    bool has_changed(std::chrono::steady_clock::time_point now);

  private:
    struct identity {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        std::int64_t size = -1;
        std::int64_t seconds = 0;
        std::int64_t nanoseconds = 0;

        bool operator==(const identity&) const = default;
    };

    std::string path_;
    std::chrono::steady_clock::time_point next_look_ = std::chrono::steady_clock::time_point::min();
    identity seen_{.device = UINT64_MAX};
};

} // namespace muxsocks
