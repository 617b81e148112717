#include "protocol/program/service_manager.hpp"

#include "protocol/program/log.hpp"

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

namespace muxsocks {
namespace {

/// How long a message may wait for room in the manager's queue.
constexpr ::timeval send_timeout{.tv_sec = 2, .tv_usec = 0};
constexpr int longest_wait_ms = 5000;
/// Descriptors of one message; Linux lets 253 pass.
constexpr std::size_t stored_at_once = 200;

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

/// Zero for what is no number.
std::uint64_t number(const std::string& text) {
    std::uint64_t value = 0;
    const auto end = text.data() + text.size();
    return std::from_chars(text.data(), end, value).ptr == end ? value : 0;
}

std::chrono::microseconds interval_from_environment() {
    const auto process = variable("WATCHDOG_PID");
    // Meant for another process, of which this one has inherited the variables.
    if (!process.empty() && number(process) != static_cast<std::uint64_t>(::getpid())) return {};
    return std::chrono::microseconds(number(variable("WATCHDOG_USEC")) / 2);
}

std::uint64_t monotonic_microseconds() {
    ::timespec now{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

union passed_room {
    ::cmsghdr align;
    char bytes[CMSG_SPACE(stored_at_once * sizeof(int))];
};

/// Returns errno.
int send_datagram(const std::string& socket, const std::string& message,
                  std::span<const int> descriptors = {}) {
    ::sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path) return ENAMETOOLONG;
    socket.copy(address.sun_path, socket.size());
    // Abstract names begin with a zero byte and end where the length says.
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<::socklen_t>(offsetof(::sockaddr_un, sun_path) + socket.size());
    const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return errno;
    (void)::setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof send_timeout);
    ::iovec place{const_cast<char*>(message.data()), message.size()};
    ::msghdr packet{};
    packet.msg_name = &address;
    packet.msg_namelen = size;
    packet.msg_iov = &place;
    packet.msg_iovlen = 1;
    passed_room room{};
    if (!descriptors.empty()) {
        packet.msg_control = room.bytes;
        packet.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        auto* const control = CMSG_FIRSTHDR(&packet);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(control), descriptors.data(), descriptors.size_bytes());
    }
    const auto sent = ::sendmsg(descriptor, &packet, MSG_NOSIGNAL);
    const int error = sent < 0 ? errno : 0;
    ::close(descriptor);
    return error;
}

} // namespace

service_manager::service_manager() : socket_(variable("NOTIFY_SOCKET")) {
    if (socket_.empty()) return;
    alive_interval_ = interval_from_environment();
    keeps_descriptors_ = number(variable("FDSTORE")) > 0;
}

void service_manager::ready(std::string status) {
    // A line end would begin another assignment.
    std::replace(status.begin(), status.end(), '\n', ' ');
    send("READY=1\nSTATUS=" + status);
}

void service_manager::reloading() {
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_microseconds()));
}

void service_manager::stopping(std::chrono::milliseconds longest) {
    const auto extended = std::chrono::microseconds(longest).count();
    send("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(extended));
}

void service_manager::main_process(int id) { send("MAINPID=" + std::to_string(id)); }

bool service_manager::store(std::string_view name, std::span<const int> descriptors) {
    // Not looked at there: also one whose peer has gone may have bytes that nobody has read.
    const auto message = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + std::string(name);
    while (!descriptors.empty()) {
        const auto part = descriptors.first(std::min(descriptors.size(), stored_at_once));
        if (send_datagram(socket_, message, part) != 0) return false;
        descriptors = descriptors.subspan(part.size());
    }
    return true;
}

void service_manager::forget_stored(std::string_view name) {
    send("FDSTOREREMOVE=1\nFDNAME=" + std::string(name));
}

bool service_manager::wait() {
    int both[2];
    if (::pipe2(both, O_CLOEXEC) != 0) return false;
    const bool sent = send_datagram(socket_, "BARRIER=1", {&both[1], 1}) == 0;
    ::close(both[1]);
    // It closes its end once it has come to the message.
    ::pollfd end{both[0], 0, 0};
    const bool heard = sent && ::poll(&end, 1, longest_wait_ms) == 1;
    ::close(both[0]);
    return heard;
}

void service_manager::alive() { send("WATCHDOG=1"); }

void service_manager::send(const std::string& message) {
    if (socket_.empty()) return;
    const int error = send_datagram(socket_, message);
    if (error != 0 && !complained_.exchange(true))
        log::warning("the service manager cannot be told ($NOTIFY_SOCKET is \"{}\"): {}",
                     log::escape(socket_), std::strerror(error));
}

service_watchdog::service_watchdog(service_manager& manager, deadlines& clock,
                                   std::vector<asio::io_context*> threads)
    : manager_(manager), threads_(std::move(threads)), next_(clock, [this] { ask_all(); }) {}

void service_watchdog::start() {
    if (manager_.alive_interval().count() > 0) ask_all();
}

void service_watchdog::ask_all() {
    next_.expires_after(manager_.alive_interval());
    auto missing = std::make_shared<std::atomic<std::size_t>>(threads_.size());
    for (const auto thread : threads_)
        asio::post(*thread, [this, missing] {
            if (--*missing == 0) manager_.alive();
        });
}

} // namespace muxsocks
