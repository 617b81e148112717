#include "protocol/program/status_socket.hpp"

#include "protocol/link/loop/asio.hpp"
#include "protocol/program/listen.hpp"
#include "protocol/program/local_sockets.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/values.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace muxsocks {
namespace {

constexpr ::timeval answer_time{5, 0};

[[noreturn]] void throw_errno(const std::string& what) {
    throw std::runtime_error(what + ": " + std::generic_category().message(errno));
}

class owned_descriptor {
  public:
    explicit owned_descriptor(int descriptor) : descriptor_(descriptor) {}
    owned_descriptor(const owned_descriptor&) = delete;
    owned_descriptor& operator=(const owned_descriptor&) = delete;
    ~owned_descriptor() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    [[nodiscard]] int get() const { return descriptor_; }
    int release() { return std::exchange(descriptor_, -1); }

  private:
    int descriptor_;
};

listen_address unix_place(const std::string& path) {
    return {.address = {path, 0}, .type = listen_address::kind::unix_path};
}

int open_tcp(const host_port& address) {
    asio::io_context context;
    auto acceptor = open_listener(context, {.address = address});
    return acceptor->release();
}

int connect_to(const status_address& address) {
    if (!address.tcp) return connect_to_unix(unix_place(address.path));
    const listen_address listening{.address = *address.tcp};
    try {
        return connect_to_own_listener({&listening, 1}, std::chrono::seconds(answer_time.tv_sec));
    } catch (const std::runtime_error&) {
        return -1;
    }
}

std::string receive_all(int socket) {
    std::string all;
    char part[16384];
    for (;;) {
        const auto size = ::recv(socket, part, sizeof part, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) throw_errno("the program that runs gives no answer");
        if (size == 0) return all;
        all.append(part, static_cast<std::size_t>(size));
    }
}

} // namespace

int open_status_socket(const status_address& address) {
    return address.tcp ? open_tcp(*address.tcp) : open_unix_listener(unix_place(address.path));
}

void remove_status_socket(const status_address& address) {
    if (!address.tcp) remove_unix_path(unix_place(address.path));
}

bool is_own_user(int descriptor) {
    const auto peer = peer_uid(descriptor);
    return peer && (*peer == 0 || *peer == ::geteuid());
}

std::optional<std::string> ask_status(const status_address& address, const std::string& method,
                                      const std::string& target, const std::string& token) {
    const owned_descriptor socket(connect_to(address));
    if (socket.get() < 0) return std::nullopt;
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &answer_time, sizeof answer_time);
    // Version 1.0: the answer ends with the connection, and is not chunked.
    auto request = method + " " + target + " HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n";
    if (!token.empty()) request += "Authorization: Bearer " + token + "\r\n";
    request += "\r\n";
    if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<::ssize_t>(request.size()))
        throw_errno("the program that runs takes no question");
    const auto answer = receive_all(socket.get());
    const auto head = answer.find("\r\n\r\n");
    if (!answer.starts_with("HTTP/1.") || head == std::string::npos)
        throw std::runtime_error("what answers at " + to_string(address) + " is no muxsocks");
    auto body = answer.substr(head + 4);
    if (answer.substr(9, 1) != "2") {
        const auto line = answer.substr(9, answer.find("\r\n") - 9);
        // Whoever it is that answers: nothing of it gets to a terminal as it is.
        while (body.ends_with('\n'))
            body.pop_back();
        throw std::runtime_error(to_string(address) + " answered " + log::escape(line) + ": " +
                                 log::escape(body));
    }
    return body;
}

} // namespace muxsocks
