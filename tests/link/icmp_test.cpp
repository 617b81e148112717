/// \file
/// What connect() says when a router answers instead of the target. The test is the router: in a
/// network namespace of its own, behind a TUN device, it reads the SYN and writes the ICMP message.

#include "protocol/link/dial/happy_eyeballs.hpp"

#include "tests/catch.hpp"
#include "tests/link/test_network.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <array>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <netinet/in.h>
#include <optional>
#include <sched.h>
#include <span>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>

using namespace muxsocks;
using namespace muxsocks::test;
using namespace std::chrono_literals;

namespace {

using bytes = std::vector<std::uint8_t>;

struct icmp_message {
    std::uint8_t type = 0;
    std::uint8_t code = 0;
};

/// RFC 1071.
std::uint16_t checksum(std::span<const std::uint8_t> data) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < data.size(); ++i)
        sum += data[i] << (i % 2 == 0 ? 8 : 0);
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

void set16(bytes& data, std::size_t at, std::size_t value) {
    data[at] = static_cast<std::uint8_t>(value >> 8);
    data[at + 1] = static_cast<std::uint8_t>(value);
}

/// RFC 792: the answer to `packet`, with its header and eight bytes more.
bytes icmp4(const bytes& packet, icmp_message message) {
    bytes body{message.type, message.code, 0, 0, 0, 0, 0, 0};
    body.insert(body.end(), packet.begin(), packet.begin() + 28);
    set16(body, 2, checksum(body));
    bytes out{0x45, 0, 0, 0, 0, 0, 0, 0, 64, IPPROTO_ICMP, 0, 0, 10, 9, 0, 254};
    out.insert(out.end(), packet.begin() + 12, packet.begin() + 16); // back to its source
    set16(out, 2, out.size() + body.size());
    set16(out, 10, checksum(out));
    out.insert(out.end(), body.begin(), body.end());
    return out;
}

/// RFC 4443: the answer to `packet`, with all of it.
bytes icmp6(const bytes& packet, icmp_message message) {
    bytes body{message.type, message.code, 0, 0, 0, 0, 0, 0};
    body.insert(body.end(), packet.begin(), packet.end());
    bytes addresses{0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe};
    addresses.insert(addresses.end(), packet.begin() + 8, packet.begin() + 24);
    bytes pseudo = addresses;
    pseudo.insert(pseudo.end(), {0, 0, 0, 0, 0, 0, 0, IPPROTO_ICMPV6});
    set16(pseudo, 34, body.size());
    pseudo.insert(pseudo.end(), body.begin(), body.end());
    set16(body, 2, checksum(pseudo));
    bytes out{0x60, 0, 0, 0, 0, 0, IPPROTO_ICMPV6, 64};
    set16(out, 4, body.size());
    out.insert(out.end(), addresses.begin(), addresses.end());
    out.insert(out.end(), body.begin(), body.end());
    return out;
}

/// The TUN device "tun0" with 10.9.0.1/24 and fd09::1/64; everything else there is the router's.
class router {
  public:
    explicit router(asio::io_context& context) : device_(context.get_executor()) {
        const int descriptor = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (descriptor < 0) return;
        ready_ = set_up(descriptor);
        // Not before: a device that is not set up wakes nobody.
        device_.assign(descriptor);
        receive();
    }

    [[nodiscard]] bool ready() const { return ready_; }
    /// What the next packets are answered with.
    icmp_message answer_with;

  private:
    static bool set_up(int tun) {
        ifreq request{};
        std::strcpy(request.ifr_name, "tun0");
        request.ifr_flags = IFF_TUN | IFF_NO_PI;
        if (::ioctl(tun, TUNSETIFF, &request) != 0) return false;
        std::ofstream("/proc/sys/net/ipv6/conf/tun0/accept_dad") << 0;
        const int v4 = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const int v6 = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const bool done = set_address4(v4, request, SIOCSIFADDR, 0x0a090001) &&
                          set_address4(v4, request, SIOCSIFNETMASK, 0xffffff00) &&
                          set_up_flag(v4, request) && set_address6(v6, request) && is_usable(v6);
        ::close(v4);
        ::close(v6);
        return done;
    }
    static bool set_address4(int socket, ifreq request, unsigned long what, std::uint32_t value) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(value);
        std::memcpy(&request.ifr_addr, &address, sizeof(address));
        return ::ioctl(socket, what, &request) == 0;
    }
    static bool set_up_flag(int socket, ifreq request) {
        request.ifr_flags = IFF_UP | IFF_RUNNING;
        return ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
    }
    static bool set_address6(int socket, ifreq request) {
        if (::ioctl(socket, SIOCGIFINDEX, &request) != 0) return false;
        in6_ifreq address{};
        address.ifr6_addr.s6_addr[0] = 0xfd;
        address.ifr6_addr.s6_addr[1] = 9;
        address.ifr6_addr.s6_addr[15] = 1;
        address.ifr6_prefixlen = 64;
        address.ifr6_ifindex = request.ifr_ifindex;
        return ::ioctl(socket, SIOCSIFADDR, &address) == 0;
    }

    /// The kernel checks a new IPv6 address for duplicates, or at least says later that it did not.
    static bool is_usable(int socket) {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_addr.s6_addr[0] = 0xfd;
        address.sin6_addr.s6_addr[1] = 9;
        address.sin6_addr.s6_addr[15] = 1;
        const auto end = std::chrono::steady_clock::now() + 10s;
        while (std::chrono::steady_clock::now() < end) {
            if (::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
                return true;
            }
            std::this_thread::sleep_for(5ms);
        }
        return false;
    }

    void receive() {
        device_.async_read_some(
            asio::buffer(packet_), [this](const boost::system::error_code& error, std::size_t n) {
                if (error) return;
                const bytes packet(packet_.begin(),
                                   packet_.begin() + static_cast<std::ptrdiff_t>(n));
                if (is_tcp(packet)) {
                    const bytes reply = packet[0] >> 4 == 4 ? icmp4(packet, answer_with)
                                                            : icmp6(packet, answer_with);
                    [[maybe_unused]] const auto sent =
                        ::write(device_.native_handle(), reply.data(), reply.size());
                }
                receive();
            });
    }
    static bool is_tcp(const bytes& packet) {
        return (packet.size() >= 40 && packet[0] >> 4 == 4 && packet[9] == IPPROTO_TCP) ||
               (packet.size() >= 60 && packet[0] >> 4 == 6 && packet[6] == IPPROTO_TCP);
    }

    asio::posix::basic_stream_descriptor<executor> device_;
    bool ready_ = false;
    std::array<std::uint8_t, 2048> packet_{};
};

std::error_code connect_error(asio::io_context& context, const dial_services& services,
                              const char* address) {
    std::optional<std::error_code> result;
    connect_to_host(services, address, 80, {.timeout = 5s, .before_connect = {}},
                    [&](std::error_code error, tcp_socket) { result = error; });
    CHECK(run_until(context, [&] { return result.has_value(); }));
    return result.value_or(std::error_code());
}

std::error_code system_error(int error) { return {error, std::system_category()}; }

void check_all(asio::io_context& context, router& on_the_way) {
    deadlines clock(context);
    resolver names(context, clock, {});
    const dial_services services{.context = context, .clock = clock, .names = names};
    const auto error_of = [&](icmp_message message, const char* address) {
        on_the_way.answer_with = message;
        return connect_error(context, services, address);
    };
    // RFC 792: 3 destination unreachable, 11 time exceeded.
    CHECK(error_of({.type = 11, .code = 0}, "10.9.0.2") == connect_errc::ttl_expired);
    CHECK(error_of({.type = 3, .code = 0}, "10.9.0.3") == system_error(ENETUNREACH));
    CHECK(error_of({.type = 3, .code = 1}, "10.9.0.4") == system_error(EHOSTUNREACH));
    CHECK(error_of({.type = 3, .code = 3}, "10.9.0.5") == system_error(ECONNREFUSED));
    CHECK(error_of({.type = 3, .code = 13}, "10.9.0.6") == system_error(EHOSTUNREACH));
    // RFC 4443: 1 destination unreachable, 3 time exceeded.
    CHECK(error_of({.type = 3, .code = 0}, "fd09::2") == connect_errc::ttl_expired);
    CHECK(error_of({.type = 1, .code = 0}, "fd09::3") == system_error(ENETUNREACH));
    CHECK(error_of({.type = 1, .code = 3}, "fd09::4") == system_error(EHOSTUNREACH));
    CHECK(error_of({.type = 1, .code = 4}, "fd09::5") == system_error(ECONNREFUSED));
}

} // namespace

TEST_CASE("a router's word about the target becomes the dial's error") {
    bool tested = false;
    // The namespace is the thread's alone, and gone with it.
    std::thread([&tested] {
        if (::unshare(CLONE_NEWNET) != 0) return;
        asio::io_context context(1);
        router on_the_way(context);
        if (!on_the_way.ready()) return;
        check_all(context, on_the_way);
        tested = true;
    }).join();
    if (!tested) WARN("skipped: a network namespace with a TUN device needs root");
}
