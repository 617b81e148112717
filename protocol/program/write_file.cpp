#include "protocol/program/write_file.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace muxsocks {
namespace {

namespace fs = std::filesystem;

/// Where a text waits until it is moved to its place. Nobody gets to see this name.
std::string waiting_place(const fs::path& path) { return path.string() + ".new"; }

/// What mkostemp(3) makes a name of that nobody has.
constexpr std::string_view unique_end = ".XXXXXX";

fs::path folder_of(const fs::path& path) {
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

[[noreturn]] void fail(const char* what, const fs::path& path, int error) {
    throw std::runtime_error(std::string("cannot ") + what + " \"" + path.string() +
                             "\": " + std::strerror(error));
}

struct access {
    ::mode_t mode = 0600;
    ::uid_t owner = static_cast<::uid_t>(-1);
    ::gid_t group = static_cast<::gid_t>(-1);
    /// Whether it is no failure that the file cannot be given away.
    bool as_far_as_possible = false;
};

/// Returns errno, or 0.
int write_text(int descriptor, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
        const auto size = ::write(descriptor, text.data() + at, text.size() - at);
        if (size >= 0)
            at += static_cast<std::size_t>(size);
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

/// Writes and closes; returns errno, or 0. Where the disk cannot be waited for, it is not.
int write_all(int descriptor, const std::string& text) {
    int error = write_text(descriptor, text);
    (void)::fsync(descriptor);
    if (::close(descriptor) != 0 && error == 0) error = errno;
    return error;
}

void write_waiting(const fs::path& path, const std::string& text, const access& wanted) {
    const auto place = waiting_place(path);
    ::unlink(place.c_str());
    const int descriptor =
        ::open(place.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) fail("write", path, errno);
    // The owner first: giving a file away may take mode bits from it.
    int refused = ::fchown(descriptor, wanted.owner, wanted.group) == 0 ? 0 : errno;
    if (::fchmod(descriptor, wanted.mode) != 0) refused = errno;
    if (wanted.as_far_as_possible) refused = 0;
    const int unwritten = write_all(descriptor, text);
    if (refused == 0 && unwritten == 0) return;
    ::unlink(place.c_str());
    if (refused != 0) fail("let its group read", path, refused);
    fail("write", path, unwritten);
}

void move_to_place(const fs::path& path) {
    if (::rename(waiting_place(path).c_str(), path.c_str()) == 0) return;
    const int error = errno;
    ::unlink(waiting_place(path).c_str());
    fail("write", path, error);
}

bool is_there(const fs::path& path) {
    struct ::stat found {};
    return ::lstat(path.c_str(), &found) == 0;
}

} // namespace

new_files::~new_files() {
    for (const auto& [path, is_new] : files_)
        ::unlink(waiting_place(path).c_str());
    for (auto each = folders_.rbegin(); each != folders_.rend(); ++each)
        ::rmdir(each->c_str());
}

void new_files::make_folder(const fs::path& folder) {
    std::vector<fs::path> missing;
    for (auto each = folder; !each.empty() && !is_there(each); each = each.parent_path())
        missing.insert(missing.begin(), each);
    for (const auto& each : missing) {
        // "a/b/" has a last part without a name, which is "a/b" once more.
        if (::mkdir(each.c_str(), 0777) != 0 && errno != EEXIST)
            fail("make the folder", each, errno);
        folders_.push_back(each);
    }
    std::error_code ignored;
    if (!folder.empty() && !fs::is_directory(folder, ignored))
        fail("make the folder", folder, ENOTDIR);
}

void new_files::add(const fs::path& path, const std::string& text, std::optional<::gid_t> group) {
    access wanted;
    wanted.as_far_as_possible =
        !group; // Where a file system has no modes, 0600 was all to ask for.
    if (group) {
        wanted.mode = 0640;
        wanted.group = *group;
    }
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) fail("write", path, EISDIR);
    write_waiting(path, text, wanted);
    files_.push_back({path, !is_there(path)});
}

void new_files::commit() {
    const auto all = std::exchange(files_, {});
    for (std::size_t i = 0; i < all.size(); ++i) {
        try {
            move_to_place(all[i].path);
        } catch (const std::runtime_error&) {
            for (std::size_t j = 0; j < i; ++j)
                if (all[j].is_new) ::unlink(all[j].path.c_str());
            files_.assign(all.begin() + static_cast<std::ptrdiff_t>(i), all.end());
            throw;
        }
    }
    folders_.clear();
}

void write_secret_file(const fs::path& path, const std::string& text, bool replace,
                       const char* elsewhere) {
    if (!replace && is_there(path))
        throw std::runtime_error("\"" + path.string() +
                                 "\" exists already: use --force to replace it, or another " +
                                 elsewhere);
    new_files one;
    one.add(path, text);
    one.commit();
}

void rewrite_file(const fs::path& path, const std::string& text) {
    // Where the name is a link, what it leads to is meant.
    std::error_code error;
    const auto place = fs::canonical(path, error);
    struct ::stat old {};
    if (error || ::stat(place.c_str(), &old) != 0) fail("write", path, errno);
    write_waiting(place, text, {old.st_mode & 07777, old.st_uid, old.st_gid, true});
    move_to_place(place);
}

replacement::~replacement() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!waiting_.empty()) ::unlink(waiting_.c_str());
}

int replacement::write(const std::string& text) {
    // The process's number would not do: in containers that share a volume each may be 1.
    auto name = waiting_place(path_).append(unique_end);
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) return errno;
    waiting_ = std::move(name);
    return write_text(descriptor_, text);
}

int replacement::sync() {
    const int error = ::fsync(descriptor_) == 0 ? 0 : errno;
    if (::close(std::exchange(descriptor_, -1)) != 0 && error == 0) return errno;
    return error;
}

int replacement::move() {
    if (::rename(waiting_.c_str(), path_.c_str()) != 0) return errno;
    waiting_.clear();
    return 0;
}

void replacement::sync_folder() {
    // Where a folder cannot be brought there, it is as well as it can be.
    const auto folder = folder_of(path_);
    const int opened = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0) return;
    (void)::fsync(opened);
    ::close(opened);
}

void replacement::remove_stale(const fs::path& path) {
    const auto begin = waiting_place(path.filename());
    std::error_code error;
    for (fs::directory_iterator each(folder_of(path), error), end; !error && each != end;
         each.increment(error)) {
        const auto name = each->path().filename().string();
        // Without an end, as older versions named it.
        const bool ours =
            name.compare(0, begin.size(), begin) == 0 &&
            (name.size() == begin.size() || (name.size() == begin.size() + unique_end.size() &&
                                             name[begin.size()] == unique_end.front()));
        if (ours) ::unlink(each->path().c_str());
    }
}

::gid_t group_id(const std::string& name) {
#ifdef MUXSOCKS_STATIC
    // What else knows groups is libraries that a static program cannot load.
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> groups(std::fopen("/etc/group", "re"),
                                                                 &std::fclose);
    while (const ::group* const each = groups ? ::fgetgrent(groups.get()) : nullptr)
        if (each->gr_name == name) return each->gr_gid;
#else
    if (const auto found = ::getgrnam(name.c_str())) return found->gr_gid;
#endif
    throw std::runtime_error("there is no group \"" + name + "\" on this machine");
}

} // namespace muxsocks
