#include "server/usage_file.hpp"

#include "protocol/program/log.hpp"
#include "protocol/program/write_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

namespace muxsocks::server {
namespace {

namespace fs = std::filesystem;

/// A disk that was full may have room again.
constexpr std::chrono::seconds retry{10};

/// A name beside it that nothing has yet.
fs::path aside(const fs::path& path) {
    for (int number = 1;; ++number) {
        const fs::path name = path.string() + ".broken-" + std::to_string(number);
        std::error_code ignored;
        if (!fs::exists(name, ignored)) return name;
    }
}

/// Nothing if there is no such file.
std::optional<std::string> read_whole(const fs::path& path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                               &std::fclose);
    if (!file && errno == ENOENT) return {};
    std::string text;
    std::array<char, 64 * 1024> part;
    for (std::size_t size = 1; file && size > 0;) {
        size = std::fread(part.data(), 1, part.size(), file.get());
        text.append(part.data(), size);
    }
    if (!file || std::ferror(file.get()) != 0)
        throw std::runtime_error("accounting.file: cannot read \"" + path.string() +
                                 "\": " + std::strerror(errno));
    return text;
}

[[noreturn]] void fail_to_write(const fs::path& path, int error) {
    throw std::runtime_error("accounting.file: cannot write \"" + path.string() +
                             "\": " + std::strerror(error));
}

bool never_passes(int error) {
    return error == EACCES || error == EPERM || error == ENOENT || error == ENOTDIR ||
           error == EROFS || error == EISDIR;
}

} // namespace

usage_book::users read_usage(const fs::path& path) {
    const auto text = read_whole(path);
    if (!text) return {};
    if (auto known = decode_usage(*text)) return std::move(*known);
    const auto moved = aside(path);
    std::error_code error;
    fs::rename(path, moved, error);
    if (error)
        throw std::runtime_error(
            "accounting.file: \"" + path.string() +
            "\" is no file of users' traffic, and cannot be moved aside: " + error.message());
    log::warning("accounting.file: {} is broken, and lies at {} now: users' traffic is counted "
                 "anew",
                 path.string(), moved.string());
    return {};
}

void check_usage_file(const fs::path& path) {
    (void)read_whole(path);
    // A new text is made in the folder, and what is broken is moved there.
    const auto folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    if (::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
        fail_to_write(path, errno);
}

usage_file::usage_file(fs::path path, std::chrono::milliseconds every, usage_book& book)
    : path_(std::move(path)), every_(every), book_(book) {}

usage_file::~usage_file() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void usage_file::start() {
    replacement::remove_stale(path_);
    int error = replacement(path_).write({});
    std::error_code ignored;
    if (error == 0 && fs::is_directory(path_, ignored)) error = EISDIR;
    if (never_passes(error)) fail_to_write(path_, error);
    book_.set_changed();
    soon_ = true;
    thread_ = std::thread([this] { run(); });
}

void usage_file::write_soon() {
    {
        const std::lock_guard lock(mutex_);
        soon_ = true;
    }
    changed_.notify_one();
}

void usage_file::write_now() { (void)write(); }

std::string usage_file::hand_on() {
    const std::lock_guard lock(mutex_);
    handed_on_ = true;
    return encode(book_.all());
}

void usage_file::go_on() {
    const std::lock_guard lock(mutex_);
    handed_on_ = false;
}

bool usage_file::is_handed_on() {
    const std::lock_guard lock(mutex_);
    return handed_on_;
}

void usage_file::run() {
    auto pause = every_;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, pause, [this] { return soon_ || stopping_; });
            if (stopping_) return;
            soon_ = false;
        }
        pause = write() ? every_ : std::min<std::chrono::milliseconds>(every_, retry);
    }
}

bool usage_file::write() {
    const std::lock_guard one(writing_);
    if (is_handed_on()) return true;
    const auto all = book_.take_changed();
    if (!all) return true;
    replacement next(path_);
    int error = next.write(encode(*all));
    if (error == 0) error = next.sync();
    // Once it is handed on, the next process removes what waits beside the file before it writes
    // its own: a move that is late finds nothing to move.
    if (error == 0 && !is_handed_on()) error = next.move();
    if (is_handed_on()) {
        book_.set_changed(); // This process may go on after all.
        return true;
    }
    if (error == 0) {
        next.sync_folder();
        return true;
    }
    book_.set_changed();
    log::warning(
        log::kind{"accounting.file could not be written"},
        "accounting.file: cannot write {}: {}. Traffic goes on and is counted; it is tried "
        "again",
        path_.string(), std::strerror(error));
    return false;
}

} // namespace muxsocks::server
