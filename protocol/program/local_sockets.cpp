#include "protocol/program/local_sockets.hpp"

#include "protocol/program/write_file.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

namespace muxsocks {
namespace {

/// sd_listen_fds(3)
constexpr int first_passed = 3;

struct unix_address {
    ::sockaddr_un name{};
    ::socklen_t size = 0;
};

std::optional<unix_address> unix_address_of(const listen_address& at) {
    unix_address made;
    const auto& text = at.address.host;
    const bool abstract = at.type == listen_address::kind::unix_abstract;
    // A path ends with a zero byte, an abstract name begins with one.
    if (text.empty() || text.size() + 1 > sizeof made.name.sun_path) return {};
    made.name.sun_family = AF_UNIX;
    text.copy(made.name.sun_path + (abstract ? 1 : 0), text.size());
    made.size = static_cast<::socklen_t>(offsetof(::sockaddr_un, sun_path) + text.size() + 1);
    return made;
}

int connect_to_address(const unix_address& to) {
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    if (::connect(descriptor, reinterpret_cast<const ::sockaddr*>(&to.name), to.size) == 0)
        return descriptor;
    const int error = errno;
    ::close(descriptor);
    errno = error;
    return -1;
}

[[noreturn]] void throw_no_listener(const listen_address& at, const std::string& why) {
    throw std::runtime_error("cannot listen on " + to_string(at) + ": " + why);
}

void must_work(const listen_address& at, int result) {
    if (result != 0) throw_no_listener(at, std::generic_category().message(errno));
}

/// What a program that is gone has left behind.
void remove_stale(const listen_address& at, const unix_address& name) {
    struct ::stat found {};
    if (::lstat(at.address.host.c_str(), &found) != 0) return;
    if (!S_ISSOCK(found.st_mode)) throw_no_listener(at, "there is a file that is no socket");
    const int other = connect_to_address(name);
    if (other < 0 && errno == ECONNREFUSED) {
        ::unlink(at.address.host.c_str());
        return;
    }
    if (other >= 0) ::close(other);
    throw_no_listener(at, "another program listens there: stop it or choose another path");
}

std::string variable_text(const char* name) {
    const char* const found = std::getenv(name);
    return found ? found : "";
}

long variable_number(const char* name) {
    const auto text = variable_text(name);
    long value = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? value : -1;
}

} // namespace

void set_unix_rights(const listen_address& at) {
    const auto path = at.address.host.c_str();
    if (!at.group.empty())
        must_work(at, ::chown(path, static_cast<::uid_t>(-1), group_id(at.group)));
    must_work(at, ::chmod(path, at.mode));
}

int open_unix_listener(const listen_address& at) {
    const auto name = unix_address_of(at);
    if (!name) throw_no_listener(at, "a socket's name has 107 bytes at most");
    const bool is_path = at.type == listen_address::kind::unix_path;
    if (is_path) remove_stale(at, *name);
    const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) throw_no_listener(at, std::generic_category().message(errno));
    try {
        must_work(at,
                  ::bind(descriptor, reinterpret_cast<const ::sockaddr*>(&name->name), name->size));
        // Nobody can connect before listen().
        if (is_path) set_unix_rights(at);
        must_work(at, ::listen(descriptor, SOMAXCONN));
    } catch (...) {
        ::close(descriptor);
        throw;
    }
    return descriptor;
}

void remove_unix_path(const listen_address& at) {
    if (at.type != listen_address::kind::unix_path) return;
    const auto name = unix_address_of(at);
    const int other = name ? connect_to_address(*name) : -1;
    if (other >= 0) {
        ::close(other);
        return;
    }
    if (errno == ECONNREFUSED) ::unlink(at.address.host.c_str());
}

int connect_to_unix(const listen_address& at) {
    const auto name = unix_address_of(at);
    if (name) return connect_to_address(*name);
    errno = ENAMETOOLONG;
    return -1;
}

std::vector<int> passed_sockets(const std::string& name) {
    std::vector<int> found;
    if (variable_number("LISTEN_PID") != ::getpid()) return found;
    const auto count = variable_number("LISTEN_FDS");
    auto names = variable_text("LISTEN_FDNAMES");
    for (int i = 0; i < count; ++i) {
        const auto end = names.find(':');
        const auto own = names.substr(0, end);
        const bool any = name.empty() && own != stored_state_name && own != stored_socket_name;
        if (any || (!name.empty() && own == name)) found.push_back(first_passed + i);
        names.erase(0, end == names.npos ? names.size() : end + 1);
    }
    return found;
}

std::vector<int> passed_descriptors(std::string_view name) {
    auto found = passed_sockets(std::string(name));
    for (const int each : found)
        (void)::fcntl(each, F_SETFD, FD_CLOEXEC);
    return found;
}

int open_passed_listener(const listen_address& at) {
    const auto all = passed_sockets(at.address.host);
    if (at.address.port >= all.size())
        throw_no_listener(at, "the service manager has passed no socket of that name "
                              "(FileDescriptorName= in its unit)");
    const int passed = all[at.address.port];
    int listening = 0;
    ::socklen_t size = sizeof listening;
    if (::getsockopt(passed, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening == 0)
        throw_no_listener(at, "what the service manager has passed is no listening stream socket "
                              "(ListenStream= and Accept=no in its unit)");
    const int descriptor = ::fcntl(passed, F_DUPFD_CLOEXEC, first_passed);
    if (descriptor < 0) throw_no_listener(at, std::generic_category().message(errno));
    (void)::fcntl(passed, F_SETFD, FD_CLOEXEC);
    (void)::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
    return descriptor;
}

bool reaches_beyond_loopback(int descriptor) {
    ::sockaddr_storage name{};
    ::socklen_t size = sizeof name;
    if (::getsockname(descriptor, reinterpret_cast<::sockaddr*>(&name), &size) != 0) return true;
    if (name.ss_family == AF_UNIX) return false;
    if (name.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const ::sockaddr_in&>(name);
        return ::ntohl(v4.sin_addr.s_addr) >> 24 != 127;
    }
    const auto& v6 = reinterpret_cast<const ::sockaddr_in6&>(name);
    return name.ss_family != AF_INET6 || !IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

std::optional<::uid_t> peer_uid(int descriptor) {
    int domain = 0;
    ::socklen_t size = sizeof domain;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX)
        return {};
    ::ucred peer{};
    size = sizeof peer;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
    return peer.uid;
}

} // namespace muxsocks
