#include "protocol/link/loop/socket_queue.hpp"

#include "tests/catch.hpp"

#include <linux/inet_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <thread>

using namespace muxsocks;
using namespace std::chrono_literals;

namespace {

constexpr auto patience = 30s;

int checked(int result) {
    REQUIRE(result >= 0);
    return result;
}

/// A TCP connection over loopback, of which one end sends what a thread at the other throws away.
struct connection {
    int out = -1;
    int in = -1;

    connection() {
        const int listener = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const any = reinterpret_cast<sockaddr*>(&address);
        checked(::bind(listener, any, size));
        checked(::listen(listener, 1));
        checked(::getsockname(listener, any, &size));
        out = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        checked(::connect(out, any, size));
        in = checked(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        ::close(listener);
        reader_ = std::thread([from = in] {
            std::array<char, 65536> unread;
            while (::read(from, unread.data(), unread.size()) > 0) {
            }
        });
    }
    connection(const connection&) = delete;
    ~connection() {
        ::close(out);
        reader_.join();
        ::close(in);
    }

    bool uses(std::string_view congestion) const {
        return ::setsockopt(out, IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                            static_cast<socklen_t>(congestion.size())) == 0;
    }
    void send() const {
        static const std::array<char, 65536> bytes{};
        (void)::send(out, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    }
    /// Whether BBR is in its startup, where it sends much faster than what was carried, or in
    /// front of it.
    bool begins() const {
        constexpr std::uint32_t much = 2 * 256;
        tcp_cc_info info{};
        socklen_t size = sizeof info;
        checked(::getsockopt(out, IPPROTO_TCP, TCP_CC_INFO, &info, &size));
        return info.bbr.bbr_pacing_gain == 0 || info.bbr.bbr_pacing_gain > much;
    }

  private:
    std::thread reader_;
};

} // namespace

TEST_CASE("a link that carries little begins BBR anew, in front of its look for the round trip") {
    connection one;
    if (!one.uses("bbr")) return; // The kernel has none.
    socket_queue queue(one.out);
    const instant begin{1h};
    const auto carry_until_known = [&] {
        for (const auto end = std::chrono::steady_clock::now() + patience;
             one.begins() && std::chrono::steady_clock::now() < end;)
            one.send();
        REQUIRE_FALSE(one.begins());
    };
    carry_until_known();
    queue.keep_window(begin);
    CHECK(one.begins());
    carry_until_known();
    queue.keep_window(begin + 4s);
    CHECK_FALSE(one.begins());
    queue.keep_window(begin + 6s);
    CHECK(one.begins());
}

TEST_CASE("a link without BBR keeps what it has") {
    const connection one;
    REQUIRE(one.uses("reno"));
    socket_queue queue(one.out);
    queue.keep_window(instant(1h));
    CHECK_FALSE(queue.has_bbr());
}
