#include "protocol/program/hand_over.hpp"

#include "protocol/program/log.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

namespace muxsocks {
namespace {

constexpr ::timeval hand_over_patience{.tv_sec = 5, .tv_usec = 0};
/// Of one packet: far below what a socket's buffer holds, and what the kernel lets pass at once.
constexpr std::size_t packet_bytes_max = 32 * 1024;
constexpr std::size_t packet_descriptors_max = 200;
constexpr std::size_t message_bytes_max = std::size_t{1} << 31;
/// kind u8 | whether it is the message's last packet u8
constexpr std::size_t packet_head_size = 2;

void set_patience(int descriptor) {
    (void)::setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &hand_over_patience,
                       sizeof hand_over_patience);
    (void)::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &hand_over_patience,
                       sizeof hand_over_patience);
}

bool is_abstract(const std::string& path) { return path.starts_with('@'); }

/// Returns the size of the address; 0 for a name that is too long for a socket.
::socklen_t unix_name_of(const std::string& path, ::sockaddr_un& address) {
    address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return 0;
    path.copy(address.sun_path, path.size());
    if (!is_abstract(path)) return sizeof address;
    address.sun_path[0] = '\0';
    return static_cast<::socklen_t>(offsetof(::sockaddr_un, sun_path) + path.size());
}

int connect_to(const std::string& path) {
    ::sockaddr_un address{};
    const auto size = unix_name_of(path, address);
    const int descriptor = size > 0 ? ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) : -1;
    if (descriptor < 0) return -1;
    set_patience(descriptor);
    if (::connect(descriptor, reinterpret_cast<const ::sockaddr*>(&address), size) == 0)
        return descriptor;
    ::close(descriptor);
    return -1;
}

/// A listening socket that only its owner may use; -1 with errno.
int offer_at(const std::string& path) {
    // Under another name first: where somebody has the right one, it becomes this one's at once.
    const auto own = is_abstract(path) ? path : path + "." + std::to_string(::getpid());
    ::sockaddr_un address{};
    const auto size = unix_name_of(own, address);
    if (size == 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    const int descriptor = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    const bool file = !is_abstract(path);
    if (file) {
        (void)::fchmod(descriptor, S_IRUSR | S_IWUSR);
        (void)::unlink(own.c_str());
    }
    if (::bind(descriptor, reinterpret_cast<const ::sockaddr*>(&address), size) == 0 &&
        ::listen(descriptor, 1) == 0 && (!file || ::rename(own.c_str(), path.c_str()) == 0))
        return descriptor;
    const int error = errno;
    if (file) (void)::unlink(own.c_str());
    ::close(descriptor);
    errno = error;
    return -1;
}

::ino_t inode_of(const std::string& path) {
    struct ::stat found {};
    return ::lstat(path.c_str(), &found) == 0 ? found.st_ino : 0;
}

std::string folder_variable(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

/// FNV-1a: a short name for what is listened on.
std::uint64_t hash_of(const std::string& text) {
    std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
    for (const char c : text)
        hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100'0000'01b3;
    return hash;
}

union control_room {
    ::cmsghdr align;
    char bytes[CMSG_SPACE(packet_descriptors_max * sizeof(int))];
};

} // namespace

// ---- hand_over_channel

hand_over_channel::hand_over_channel(int descriptor) : descriptor_(descriptor) {
    set_patience(descriptor_);
    ::socklen_t size = sizeof peer_;
    if (::getsockopt(descriptor_, SOL_SOCKET, SO_PEERCRED, &peer_, &size) != 0) peer_ = {};
    if (peer_.pid > 0) peer_process_ = static_cast<int>(::syscall(SYS_pidfd_open, peer_.pid, 0U));
}

hand_over_channel::~hand_over_channel() {
    for (const int each : {descriptor_, peer_process_})
        if (each >= 0) ::close(each);
}

std::optional<hand_over_channel> hand_over_channel::connect(const std::string& path) {
    const int descriptor = path.empty() ? -1 : connect_to(path);
    if (descriptor < 0) return {};
    std::optional<hand_over_channel> made(std::in_place, descriptor);
    if (!made->peer_is_ours()) made.reset();
    return made;
}

bool hand_over_channel::peer_is_ours() const { return peer_.pid >= 0 && peer_.uid == ::geteuid(); }

bool hand_over_channel::peer_has_ended() const {
    if (peer_process_ < 0) return false;
    // A killed process closes its sockets a moment before it has ended.
    constexpr int milliseconds = 1000;
    ::pollfd look{peer_process_, POLLIN, 0};
    return ::poll(&look, 1, milliseconds) == 1 && (look.revents & POLLIN) != 0;
}

bool hand_over_channel::send(kind what, std::string_view text) {
    return send(what, bytes_view(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

bool hand_over_channel::send(kind what, bytes_view bytes, std::span<const int> descriptors) {
    for (bool last = false; !last;) {
        const auto part = bytes.first(std::min(bytes.size(), packet_bytes_max));
        const auto with = descriptors.first(std::min(descriptors.size(), packet_descriptors_max));
        bytes = bytes.subspan(part.size());
        descriptors = descriptors.subspan(with.size());
        last = bytes.empty() && descriptors.empty();
        std::array<std::uint8_t, packet_head_size> head{static_cast<std::uint8_t>(what),
                                                        static_cast<std::uint8_t>(last)};
        std::array<::iovec, 2> places{
            {{head.data(), head.size()}, {const_cast<std::uint8_t*>(part.data()), part.size()}}};
        ::msghdr packet{};
        packet.msg_iov = places.data();
        packet.msg_iovlen = places.size();
        control_room room{};
        if (!with.empty()) {
            packet.msg_control = room.bytes;
            packet.msg_controllen = CMSG_SPACE(with.size_bytes());
            auto* const control = CMSG_FIRSTHDR(&packet);
            control->cmsg_level = SOL_SOCKET;
            control->cmsg_type = SCM_RIGHTS;
            control->cmsg_len = CMSG_LEN(with.size_bytes());
            std::memcpy(CMSG_DATA(control), with.data(), with.size_bytes());
        }
        ::ssize_t sent = 0;
        do {
            sent = ::sendmsg(descriptor_, &packet, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0) return false;
    }
    return true;
}

std::optional<hand_over_channel::message> hand_over_channel::receive() {
    message whole;
    for (bool first = true;; first = false) {
        std::array<std::uint8_t, packet_head_size> head{};
        const auto before = whole.bytes.size();
        whole.bytes.resize(before + packet_bytes_max);
        std::array<::iovec, 2> places{
            {{head.data(), head.size()}, {whole.bytes.data() + before, packet_bytes_max}}};
        control_room room{};
        ::msghdr packet{};
        packet.msg_iov = places.data();
        packet.msg_iovlen = places.size();
        packet.msg_control = room.bytes;
        packet.msg_controllen = sizeof room.bytes;
        ::ssize_t size = 0;
        do {
            size = ::recvmsg(descriptor_, &packet, MSG_CMSG_CLOEXEC);
        } while (size < 0 && errno == EINTR);
        for (auto* each = size < 0 ? nullptr : CMSG_FIRSTHDR(&packet); each;
             each = CMSG_NXTHDR(&packet, each)) {
            if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
            std::vector<int> came((each->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            std::memcpy(came.data(), CMSG_DATA(each), came.size() * sizeof(int));
            for (const int one : came)
                whole.descriptors.add(one);
        }
        if (size < static_cast<::ssize_t>(head.size()) ||
            (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
            head[0] > static_cast<std::uint8_t>(kind::program) ||
            (!first && head[0] != static_cast<std::uint8_t>(whole.what)))
            return {};
        whole.what = static_cast<kind>(head[0]);
        whole.bytes.resize(before + static_cast<std::size_t>(size) - head.size());
        if (head[1] != 0) return whole;
        if (whole.bytes.size() > message_bytes_max) return {};
    }
}

std::optional<hand_over_channel::message> hand_over_channel::stop_receiving() {
    // What is queued can be read still, and behind that it is as if the other side were gone.
    (void)::shutdown(descriptor_, SHUT_RD);
    return receive();
}

// ---- Where, and the offer

namespace {

std::string name_for(program_role role, std::span<const listen_address> listening) {
    std::string all;
    for (const auto& each : listening)
        all += to_string(each) + "\n";
    char hash[17];
    std::snprintf(hash, sizeof hash, "%016llx", static_cast<unsigned long long>(hash_of(all)));
    return std::string(program_name(role)) + "-" + hash;
}

} // namespace

std::string stopping_name(program_role role, std::span<const listen_address> listening) {
    return "@" + name_for(role, listening) + "-" + std::to_string(::geteuid());
}

std::string hand_over_path(program_role role, std::span<const listen_address> listening) {
    auto folder = folder_variable("RUNTIME_DIRECTORY");
    // systemd separates several by a colon.
    folder = folder.substr(0, folder.find(':'));
    if (folder.empty()) folder = folder_variable("XDG_RUNTIME_DIR");
    if (folder.empty()) return {};
    return folder + "/" + name_for(role, listening) + ".sock";
}

hand_over_offer::hand_over_offer(std::string path, give function)
    : path_(std::move(path)), listening_(path_.empty() ? -1 : offer_at(path_)) {
    if (listening_ < 0) {
        if (!path_.empty())
            log::info("this process cannot be taken over by a new one: {}: {}", path_,
                      std::generic_category().message(errno));
        return;
    }
    inode_ = inode_of(path_);
    thread_ = std::thread([this, function = std::move(function)] { wait(function); });
}

hand_over_offer::~hand_over_offer() {
    ending_ = true;
    withdraw();
    if (listening_ >= 0) ::shutdown(listening_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    if (listening_ >= 0) ::close(listening_);
}

void hand_over_offer::move_to(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (listening_ < 0 || path.empty() || path == path_ || is_abstract(path_) ||
        inode_of(path_) != inode_)
        return;
    if (::rename(path_.c_str(), path.c_str()) == 0) path_ = path;
}

/// The name may be another process's by now.
void hand_over_offer::withdraw() {
    const std::lock_guard lock(mutex_);
    if (listening_ >= 0 && !is_abstract(path_) && inode_of(path_) == inode_)
        ::unlink(path_.c_str());
}

void hand_over_offer::wait(const give& function) {
    while (!ending_) {
        const int descriptor = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
        if (descriptor < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return;
        }
        hand_over_channel to(descriptor);
        if (to.peer_is_ours() && function(to)) return;
    }
}

} // namespace muxsocks
