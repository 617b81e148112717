#include "client/health.hpp"

#include "protocol/program/command_line.hpp"
#include "protocol/program/listen.hpp"
#include "socks5/message.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <system_error>

namespace muxsocks::client {
namespace {

using bytes = std::vector<std::uint8_t>;

/// Below what container engines and supervisors allow, so that they get to see the reason.
constexpr std::chrono::seconds answer_time{3};

/// RFC 6761: never exists.
constexpr const char* no_such_name = "health.muxsocks.invalid";

/// Those that a question can be put to.
std::vector<listen_address> spoken_to(std::vector<listen_address> all) {
    std::erase_if(all, [](const listen_address& each) { return each.is_transparent(); });
    return all;
}

/// A blocking conversation with the SOCKS port.
class conversation {
  public:
    explicit conversation(const config& settings)
        : socket_(connect_to_own_listener(spoken_to(settings.listen), answer_time)) {}
    conversation(const conversation&) = delete;
    conversation& operator=(const conversation&) = delete;
    ~conversation() { ::close(socket_); }

    void send(const bytes& message) const {
        if (::send(socket_, message.data(), message.size(), MSG_NOSIGNAL) !=
            static_cast<::ssize_t>(message.size()))
            throw std::runtime_error("the client does not take the request");
    }

    template <typename Message>
    Message receive(socks5::parse_result<Message> (*parse)(std::span<const std::uint8_t>)) const {
        bytes received;
        for (;;) {
            std::uint8_t next = 0;
            const auto size = ::recv(socket_, &next, 1, 0);
            if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                throw std::runtime_error("no answer within 3 s: the link to the server is down");
            if (size <= 0) throw std::runtime_error("the client closed the connection");
            received.push_back(next);
            auto parsed = parse(received);
            if (parsed.status == socks5::parse_status::failed)
                throw std::runtime_error(parsed.error.message());
            if (parsed.status == socks5::parse_status::done) return std::move(parsed.value);
        }
    }

  private:
    int socket_;
};

void log_in(const conversation& with, const std::vector<socks_user>& users) {
    const auto method = users.empty() ? socks5::auth_method::none : socks5::auth_method::password;
    const auto offered = static_cast<std::uint8_t>(method);
    with.send(socks5::encode(socks5::greeting{{&offered, 1}}));
    if (with.receive(&socks5::parse_method_selection).method != method)
        throw std::runtime_error("the client that runs has other \"users\" than this file");
    if (users.empty()) return;
    with.send(socks5::encode(socks5::password_request{users.front().name, users.front().password}));
    if (with.receive(&socks5::parse_password_status).status != 0)
        throw std::runtime_error("the client that runs has other \"users\" than this file");
}

} // namespace

int check_health(const config& settings) {
    const auto begun = std::chrono::steady_clock::now();
    try {
        const conversation with(settings);
        log_in(with, settings.users);
        with.send(socks5::encode(socks5::request{socks5::command::connect,
                                                 socks5::address::from_domain(no_such_name, 80)}));
        // The client itself knows no other failure than this one; all others are the server's
        // words.
        if (with.receive(&socks5::parse_reply).code() == socks5::reply_code::general_failure)
            throw std::runtime_error("the link to the server is down");
    } catch (const std::runtime_error& error) {
        std::printf("unhealthy: %s\n", error.what());
        return exit_failure;
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
    std::printf("healthy: the server answered in %.1f ms\n", took.count());
    return exit_ok;
}

} // namespace muxsocks::client
