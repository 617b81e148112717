#include "protocol/link/dial/happy_eyeballs.hpp"

#include "protocol/link/loop/output_interest.hpp"
#include "protocol/link/loop/socket_ends.hpp"

#include "protocol/link/dial/host_name.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace muxsocks {

namespace {

/// How much an error tells about the target; see on_failed in the header.
enum rank : int {
    rank_resolver,
    rank_no_route_here,
    rank_not_admitted,
    rank_time_out,
    rank_lack_here,
    rank_no_host,
    rank_answered,
    rank_refused,
};

/// `at_once`: whether connect() itself failed, so that the error is this machine's word.
int rank_of(int error, bool at_once) {
    switch (error) {
    case ECONNREFUSED:
        return rank_refused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
        return at_once ? rank_no_route_here : rank_no_host;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EINVAL: // link-local without a zone
        return rank_no_route_here;
    case ETIMEDOUT:
        return rank_time_out;
    default:
        return at_once ? rank_lack_here : rank_answered;
    }
}

std::error_code system_error(int error) { return {error, std::system_category()}; }

/// Whether this host has no address from which `peer` could be reached: so where the kernel knows
/// IPv6 but no interface has it, as in Docker's networks. TCP's connect() says EADDRNOTAVAIL for
/// that and for a lack of ports; UDP's, which sends nothing, says EAGAIN for the latter.
bool lacks_source_address(const asio::ip::tcp::endpoint& peer) {
    const int probe = ::socket(peer.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (probe < 0) return false;
    const bool lacks = ::connect(probe, peer.data(), static_cast<socklen_t>(peer.size())) != 0 &&
                       errno == EADDRNOTAVAIL;
    ::close(probe);
    return lacks;
}

/// Whether ICMP errors are kept with their type, which tells an expired TTL from an unreachable
/// host. Only while connecting: later it would turn every passing ICMP error into the connection's
/// end (ip(7), IP_RECVERR).
void keep_icmp_errors(int descriptor, bool is_v4, int on) {
    if (is_v4) {
        ::setsockopt(descriptor, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
    } else {
        ::setsockopt(descriptor, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
    }
}

bool is_ttl_expired(const sock_extended_err& error) {
    return (error.ee_origin == SO_EE_ORIGIN_ICMP && error.ee_type == ICMP_TIME_EXCEEDED) ||
           (error.ee_origin == SO_EE_ORIGIN_ICMP6 && error.ee_type == ICMP6_TIME_EXCEEDED);
}

/// Whether the ICMP error that ended the attempt was "time exceeded". Needs Linux 5.8; before it
/// there is nothing to be read, and the error stays EHOSTUNREACH.
bool ended_by_ttl(int descriptor) {
    std::array<std::uint8_t, 128> packet;
    alignas(cmsghdr) std::array<std::uint8_t, 256> control;
    iovec part{.iov_base = packet.data(), .iov_len = packet.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(descriptor, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return false;
    for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
        const bool is_error = (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_RECVERR) ||
                              (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_RECVERR);
        sock_extended_err error{};
        if (!is_error || one->cmsg_len < CMSG_LEN(sizeof(error))) continue;
        std::memcpy(&error, CMSG_DATA(one), sizeof(error));
        if (is_ttl_expired(error)) return true;
    }
    return false;
}

} // namespace

happy_eyeballs::happy_eyeballs(const dial_services& services)
    : services_(services),
      deadline_(services.clock, [this] { on_deadline(); }),
      attempt_delay_(services.clock,
                     [this] {
                         const auto self = shared_from_this();
                         if (has_waiting()) next_attempt();
                     }),
      v4_next_(services.prefer_ipv4) {}

happy_eyeballs::~happy_eyeballs() = default;

void happy_eyeballs::start(const asio::ip::tcp::endpoint& target) {
    starting_ = true;
    const asio::ip::address address = unmapped(target.address());
    if (const std::error_code refusal = admit(address)) {
        note_failure(refusal, rank_not_admitted);
    } else {
        begin_attempt({address, target.port()});
    }
    fail_later_if_lost();
}

void happy_eyeballs::start(std::string_view host, std::uint16_t port) {
    if (const auto address = parse_numeric_host(host)) {
        start(asio::ip::tcp::endpoint(*address, port));
        return;
    }
    port_ = port;
    looking_up_ = true;
    services_.names.resolve(
        host,
        [self = shared_from_this()](std::error_code error, std::span<const asio::ip::address> found,
                                    bool last) { self->on_addresses(error, found, last); });
}

void happy_eyeballs::fail_later_if_lost() {
    starting_ = false;
    if (running_ > 0) return;
    asio::post(services_.context, [self = shared_from_this()] {
        if (!self->decided_) self->fail();
    });
}

void happy_eyeballs::on_addresses(std::error_code error, std::span<const asio::ip::address> found,
                                  bool last) {
    if (last) {
        looking_up_ = false;
        on_lookup_ended();
    }
    if (decided_) {
        end_if_done();
        return;
    }
    if (error) note_failure(error, rank_resolver);
    for (const asio::ip::address& address : found)
        add(address);
    // While the delay runs an attempt has just begun, and the next one has its time.
    if (running_ == 0 || !attempt_delay_.is_set()) next_attempt();
}

void happy_eyeballs::add(const asio::ip::address& address) {
    auto& waiting = address.is_v4() ? waiting_v4_ : waiting_v6_;
    auto& added = address.is_v4() ? added_v4_ : added_v6_;
    if (added >= addresses_max || std::count(waiting.begin(), waiting.end(), address) > 0) return;
    if (const std::error_code refusal = admit(address)) {
        note_failure(refusal, rank_not_admitted);
        return;
    }
    waiting.push_back(address);
    ++added;
}

asio::ip::tcp::endpoint happy_eyeballs::take_waiting() {
    const bool v4 = (v4_next_ && !waiting_v4_.empty()) || waiting_v6_.empty();
    v4_next_ = !v4;
    auto& waiting = v4 ? waiting_v4_ : waiting_v6_;
    const asio::ip::address address = waiting.front();
    waiting.erase(waiting.begin());
    return {address, port_};
}

void happy_eyeballs::proceed() {
    permission_ = permission::given;
    next_attempt();
}

void happy_eyeballs::next_attempt() {
    attempt_delay_.cancel();
    if (has_waiting() && permission_ == permission::not_asked)
        permission_ = may_begin() ? permission::given : permission::put_off;
    if (permission_ == permission::put_off) return;
    while (has_waiting()) {
        if (!begin_attempt(take_waiting())) continue;
        if (has_waiting() || looking_up_) attempt_delay_.expires_after(services_.attempt_delay);
        return;
    }
    if (running_ == 0 && !looking_up_) fail();
}

bool happy_eyeballs::begin_attempt(const asio::ip::tcp::endpoint& peer) {
    const int descriptor =
        ::socket(peer.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (descriptor < 0) {
        note_failure(system_error(errno), rank_of(errno, true));
        return false;
    }
    keep_icmp_errors(descriptor, peer.address().is_v4(), 1);
    before_connect(descriptor);
    const bool begun =
        ::connect(descriptor, peer.data(), static_cast<socklen_t>(peer.size())) == 0 ||
        errno == EINPROGRESS;
    if (!begun) {
        const int reason = errno;
        ::close(descriptor);
        const int error =
            reason == EADDRNOTAVAIL && lacks_source_address(peer) ? ENETUNREACH : reason;
        note_failure(system_error(error), rank_of(error, true));
        return false;
    }
    tcp_socket socket(services_.context.get_executor());
    boost::system::error_code error;
    socket.assign(peer.protocol(), descriptor, error);
    if (error) {
        note_failure(error, rank_lack_here);
        ::close(descriptor);
        return false;
    }
    ++running_;
    if (!first_) {
        wait_for(first_.emplace(attempt{std::move(socket), peer}));
    } else {
        wait_for(others_.emplace_back(attempt{std::move(socket), peer}));
    }
    return true;
}

void happy_eyeballs::wait_for(attempt& one) {
    one.socket.async_wait(tcp_socket::wait_write,
                          [self = shared_from_this(), &one](const boost::system::error_code&) {
                              // Once decided, `one` is gone.
                              if (!self->decided_) self->on_attempt(one);
                          });
}

void happy_eyeballs::on_attempt(attempt& one) {
    const int descriptor = one.socket.native_handle();
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) {
        keep_icmp_errors(descriptor, one.peer.address().is_v4(), 0);
        tcp_socket socket = std::move(one.socket);
        forget_output_interest(socket);
        const asio::ip::tcp::endpoint peer = one.peer;
        settle();
        on_connected(std::move(socket), peer);
        end_if_done();
        return;
    }
    if (error == EHOSTUNREACH && ended_by_ttl(descriptor)) {
        note_failure(connect_errc::ttl_expired, rank_no_host);
    } else {
        note_failure(system_error(error), rank_of(error, false));
    }
    --running_;
    drop(one);
    next_attempt();
}

void happy_eyeballs::drop(const attempt& one) {
    if (first_ && &*first_ == &one) {
        first_.reset();
    } else {
        others_.remove_if([&one](const attempt& other) { return &other == &one; });
    }
}

void happy_eyeballs::note_failure(std::error_code error, int rank) {
    if (rank <= error_rank_) return;
    error_rank_ = rank;
    error_ = error;
}

void happy_eyeballs::on_deadline() {
    const auto self = shared_from_this();
    if (looking_up_ && added_v4_ + added_v6_ == 0) {
        note_failure(resolve_errc::timed_out, rank_time_out);
    } else {
        note_failure(connect_errc::timed_out, rank_time_out);
    }
    fail();
}

void happy_eyeballs::fail() {
    settle();
    on_failed(error_);
    end_if_done();
}

void happy_eyeballs::cancel() {
    const auto self = shared_from_this();
    if (!decided_) settle();
    end_if_done();
}

void happy_eyeballs::settle() {
    decided_ = true;
    deadline_.cancel();
    attempt_delay_.cancel();
    running_ = 0;
    // One that has just connected would else keep its port in TIME_WAIT for a minute, and whoever
    // takes back requests by the thousand all ports to a target.
    if (first_) close_with_reset(first_->socket);
    for (auto& each : others_)
        close_with_reset(each.socket);
    first_.reset();
    others_.clear();
    waiting_v4_.clear();
    waiting_v6_.clear();
}

void happy_eyeballs::end_if_done() {
    if (looking_up_ || ended_) return;
    ended_ = true;
    on_ended();
}

namespace {

class handled_connect final : public happy_eyeballs {
  public:
    handled_connect(const dial_services& services, connect_options options, connect_handler done)
        : happy_eyeballs(services),
          executor_(services.context.get_executor()),
          before_connect_(std::move(options.before_connect)),
          done_(std::move(done)) {}

    void cancel() override {
        happy_eyeballs::cancel();
        // It goes with what it owns, even if a lookup takes its time.
        done_.reset();
    }

  private:
    void before_connect(int descriptor) override {
        if (before_connect_) before_connect_(descriptor);
    }
    void on_connected(tcp_socket&& socket, const asio::ip::tcp::endpoint&) override {
        std::exchange(done_, {})({}, std::move(socket));
    }
    void on_failed(std::error_code error) override {
        std::exchange(done_, {})(error, tcp_socket(executor_));
    }

    executor executor_;
    unique_function<void(int)> before_connect_;
    connect_handler done_;
};

} // namespace

std::shared_ptr<happy_eyeballs> connect_to_host(const dial_services& services,
                                                std::string_view host, std::uint16_t port,
                                                connect_options options, connect_handler done) {
    const auto timeout = options.timeout;
    const auto one =
        std::make_shared<handled_connect>(services, std::move(options), std::move(done));
    one->expires_at(deadline::clock::now() + timeout);
    one->start(host, port);
    return one;
}

} // namespace muxsocks
