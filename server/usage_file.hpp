#pragma once

/// \file
/// Keeps what users have moved in a file (`accounting.file`) that is whole at every moment: a new
/// text is written beside it, brought to the disk, and moved to its place. A thread of its own does
/// that, so that nobody waits for a disk; what cannot be written now is written later.

#include "server/usage_book.hpp"

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

namespace muxsocks::server {

/// What the file has, or nothing if there is none. What is broken is moved aside, with a line in
/// the log. Throws std::runtime_error with a sentence if it is there and cannot be read.
[[nodiscard]] usage_book::users read_usage(const std::filesystem::path& path);

/// Whether read_usage() and usage_file::start() will do, as far as that can be known without
/// changing anything. Throws as they do if not.
void check_usage_file(const std::filesystem::path& path);

class usage_file {
  public:
    /// `book` outlives it. Nothing is written before start().
    usage_file(std::filesystem::path path, std::chrono::milliseconds every, usage_book& book);
    ~usage_file();
    usage_file(const usage_file&) = delete;
    usage_file& operator=(const usage_file&) = delete;

    /// Its thread writes all at once. Throws std::runtime_error with a sentence if the file can
    /// never be written.
    void start();
    /// Soon, and not only when it is due: something must not be lost.
    void write_soon();
    /// At once, in this thread.
    void write_now();
    /// For a process that is to take the place of this one, as encode() has it. The file is that
    /// one's from here on, unless go_on() follows. Waits for no disk.
    [[nodiscard]] std::string hand_on();
    void go_on();

  private:
    [[nodiscard]] bool is_handed_on();
    void run();
    /// Whether all is in the file now.
    bool write();

    std::filesystem::path path_;
    std::chrono::milliseconds every_;
    usage_book& book_;
    std::mutex writing_; ///< One at a time, the disk included.
    std::mutex mutex_;   ///< Of what is below. Nobody waits for a disk under it.
    bool handed_on_ = false;
    std::condition_variable changed_;
    bool soon_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace muxsocks::server
