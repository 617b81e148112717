#include "protocol/program/journal.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace muxsocks::journal {
namespace {

/// What is written before journald reads; it takes this much from its other clients, too.
constexpr int send_buffer_bytes = 8 << 20;

/// Of a line in which nothing says another one: "info".
constexpr std::string_view usual_priority = "6";

/// Takes the part in front of the next separator off; false if there is none.
bool take_part(std::string_view& rest, std::string_view& part) {
    const auto end = rest.find(separator);
    if (end == std::string_view::npos) return false;
    part = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return true;
}

void add_field(std::string& to, std::string_view name, std::string_view value) {
    to.append(name).append("=").append(value).append("\n");
}

} // namespace

bool is_stream(int descriptor, std::string_view stream) {
    struct ::stat found {};
    return ::fstat(descriptor, &found) == 0 &&
           stream == std::to_string(found.st_dev) + ":" + std::to_string(found.st_ino);
}

int open(const std::string& path) {
    ::sockaddr_un address{};
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int made = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (made < 0) return -1;
    // Only root may have so much; others have what the system gives.
    if (::setsockopt(made, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer_bytes,
                     sizeof send_buffer_bytes) != 0)
        (void)::setsockopt(made, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes,
                           sizeof send_buffer_bytes);
    if (::connect(made, reinterpret_cast<const ::sockaddr*>(&address), sizeof address) == 0)
        return made;
    const int why = errno;
    ::close(made);
    errno = why;
    return -1;
}

std::string record(std::string_view line) {
    auto message = line;
    std::string_view priority = usual_priority;
    std::string_view reason;
    auto rest = line;
    if (take_part(rest, priority) && take_part(rest, reason))
        message = rest;
    else
        priority = usual_priority;
    std::string made;
    add_field(made, "MESSAGE", message);
    add_field(made, "PRIORITY", priority);
    add_field(made, "SYSLOG_IDENTIFIER", program_invocation_short_name);
    if (!reason.empty()) add_field(made, "MUXSOCKS_REASON", reason);
    return made;
}

} // namespace muxsocks::journal
