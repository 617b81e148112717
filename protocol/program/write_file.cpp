#include "protocol/program/write_file.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace muxsocks {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path) {
    throw std::runtime_error("cannot write \"" + path.string() + "\": " + std::strerror(errno));
}

void write_all(int descriptor, const std::string& text, const std::filesystem::path& path) {
    for (std::size_t at = 0; at < text.size();) {
        const auto size = ::write(descriptor, text.data() + at, text.size() - at);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) {
            const int error = errno;
            ::close(descriptor);
            ::unlink(path.c_str());
            errno = error;
            fail(path);
        }
        at += static_cast<std::size_t>(size);
    }
    (void)::fsync(descriptor);
    ::close(descriptor);
}

} // namespace

void write_secret_file(const std::filesystem::path& path, const std::string& text, bool replace) {
    struct ::stat old {};
    const bool exists = ::stat(path.c_str(), &old) == 0;
    if (exists && !replace)
        throw std::runtime_error("\"" + path.string() +
                                 "\" exists already: use --force to replace it, or another --dir");
    const auto next = path.string() + ".new";
    const auto mode = exists ? old.st_mode & 07777 : mode_t{0600};
    const int descriptor =
        ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) fail(next);
    (void)::fchmod(descriptor, mode);
    if (exists) (void)!::fchown(descriptor, old.st_uid, old.st_gid);
    write_all(descriptor, text, next);
    if (::rename(next.c_str(), path.c_str()) != 0) fail(path);
}

::gid_t group_id(const std::string& name) {
    const auto found = ::getgrnam(name.c_str());
    if (!found) throw std::runtime_error("there is no group \"" + name + "\" on this machine");
    return found->gr_gid;
}

void share_with_group(const std::filesystem::path& path, ::gid_t group) {
    constexpr auto same_owner = static_cast<::uid_t>(-1);
    if (::chown(path.c_str(), same_owner, group) != 0 || ::chmod(path.c_str(), 0640) != 0)
        throw std::runtime_error("cannot let its group read \"" + path.string() +
                                 "\": " + std::strerror(errno));
}

} // namespace muxsocks
