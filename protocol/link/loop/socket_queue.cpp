#include "protocol/link/loop/socket_queue.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>

namespace muxsocks {
namespace {

constexpr std::size_t unsent_step = 16 * 1024;
constexpr std::size_t congestion_name_size = 17;
/// Less room in flight is not worth a write, and how long to wait for it.
constexpr std::size_t room_least = 16 * 1024;
constexpr duration wait_min = std::chrono::milliseconds(1);
constexpr duration wait_max = std::chrono::milliseconds(20);
/// BBR looks for the least round trip after ten.
constexpr duration bbr_renewal = std::chrono::seconds(5);
#ifndef SO_BUF_LOCK // Linux 5.14
#define SO_BUF_LOCK 72
#endif
/// What the kernel says while no round trip was measured.
constexpr std::uint32_t unknown_rtt = 0xffff'ffff;
constexpr int send_buffer_lock = 1; ///< SOCK_SNDBUF_LOCK: the kernel leaves the size alone.

template <typename Value>
bool set(int descriptor, int level, int name, Value value) {
    return ::setsockopt(descriptor, level, name, &value, sizeof value) == 0;
}

template <typename Value>
std::optional<Value> get(int descriptor, int level, int name) {
    Value value{};
    socklen_t size = sizeof value;
    if (::getsockopt(descriptor, level, name, &value, &size) != 0) return {};
    return value;
}

/// The kernel doubles what is asked for, for what it needs itself, and counts that too.
std::size_t send_buffer_max() {
    static const auto most = [] {
        std::size_t bytes = 0;
        std::ifstream("/proc/sys/net/core/wmem_max") >> bytes;
        return 2 * bytes;
    }();
    return most;
}

/// A bound that could not be taken back would be there for good.
std::size_t limit_max(int descriptor) {
    return get<int>(descriptor, SOL_SOCKET, SO_BUF_LOCK) ? send_buffer_max() : 0;
}

} // namespace

socket_queue::socket_queue(int descriptor)
    : descriptor_(descriptor), queue_(limit_max(descriptor)) {}

void socket_queue::measure(instant now) {
    const auto info = get<tcp_info>(descriptor_, IPPROTO_TCP, TCP_INFO);
    if (!info) return;
    const duration rtt = std::chrono::microseconds(info->tcpi_rtt);
    const duration rtt_min = std::chrono::microseconds(info->tcpi_min_rtt);
    if (flight_.wants_sample(now)) {
        const auto selectively = std::uint64_t{info->tcpi_sacked} * info->tcpi_snd_mss;
        flight_.on_sample({info->tcpi_bytes_acked + selectively, rtt, rtt_min,
                           std::size_t{info->tcpi_snd_cwnd} * info->tcpi_snd_mss},
                          now);
        if (flight_.take_restart() && has_bbr()) restart_bbr();
        apply_pace(flight_.pace_bytes_per_second());
    }
    if (!queue_.wants_sample(now)) return;
    queue_.on_sample({info->tcpi_bytes_acked, rtt, rtt_min}, now);
    apply_unsent(queue_.unsent_bytes() / unsent_step * unsent_step);
    apply_limit(rtt_min < flight_bound::far ? queue_.limit_bytes() : std::nullopt);
}

std::size_t socket_queue::room(std::size_t wanted) {
    const auto limit = flight_.limit_bytes();
    if (!limit) return wanted;
    const auto info = get<tcp_info>(descriptor_, IPPROTO_TCP, TCP_INFO);
    if (!info) return wanted;
    // Unacknowledged without what arrived or is known to be lost and was not sent again.
    const auto outstanding = info->tcpi_bytes_sent - info->tcpi_bytes_retrans -
                             std::min(info->tcpi_bytes_acked, info->tcpi_bytes_sent);
    const auto gone = std::uint64_t{info->tcpi_sacked} + info->tcpi_lost -
                      std::min(info->tcpi_retrans, info->tcpi_lost);
    const auto held = outstanding -
                      std::min<std::uint64_t>(outstanding, gone * info->tcpi_snd_mss) +
                      info->tcpi_notsent_bytes;
    const auto room = *limit - std::min<std::uint64_t>(*limit, held);
    const auto least = std::min(wanted, room_least);
    if (room >= least) return std::min<std::size_t>(wanted, room);
    flight_.on_held();
    const auto missing = static_cast<double>(least - room) / (flight_.bytes_per_second() + 1);
    wait_ = std::clamp(duration(static_cast<std::int64_t>(1e9 * missing)), wait_min, wait_max);
    return 0;
}

/// Only another congestion control makes the kernel begin anew. Where it does not give BBR back
/// (its configuration has changed), cubic is the better rest.
void socket_queue::restart_bbr() const {
    const auto use = [this](std::string_view name) {
        return ::setsockopt(descriptor_, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                            static_cast<socklen_t>(name.size())) == 0;
    };
    if (use("reno") && !use("bbr")) (void)use("cubic");
}

void socket_queue::keep_window(instant now) {
    if (now - bbr_renewed_ < bbr_renewal || !has_bbr()) return;
    bbr_renewed_ = now;
    restart_bbr();
}

bool socket_queue::has_bbr() const {
    std::array<char, congestion_name_size> name{};
    socklen_t size = name.size() - 1;
    return ::getsockopt(descriptor_, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) == 0 &&
           std::string_view(name.data()) == "bbr";
}

path_facts socket_queue::facts() const {
    const auto info = get<tcp_info>(descriptor_, IPPROTO_TCP, TCP_INFO);
    path_facts seen;
    if (!info) return seen;
    seen.acked_bytes = info->tcpi_bytes_acked;
    seen.delivered = info->tcpi_delivered;
    seen.received_bytes = info->tcpi_bytes_received;
    seen.out_of_order = info->tcpi_rcv_ooopack;
    seen.in_flight = info->tcpi_unacked;
    seen.timeouts = info->tcpi_retransmits;
    seen.segment = info->tcpi_snd_mss;
    seen.rtt = std::chrono::microseconds(info->tcpi_rtt);
    if (info->tcpi_min_rtt != unknown_rtt)
        seen.rtt_min = std::chrono::microseconds(info->tcpi_min_rtt);
    seen.sent = info->tcpi_data_segs_out;
    seen.retransmits = info->tcpi_total_retrans;
    seen.unsent_bytes = info->tcpi_notsent_bytes;
    seen.bytes_per_second = info->tcpi_delivery_rate;
    seen.since_received = std::chrono::milliseconds(info->tcpi_last_data_recv);
    seen.since_ack = std::chrono::milliseconds(info->tcpi_last_ack_recv);
    return seen;
}

void socket_queue::apply_unsent(std::size_t bytes) {
    if (bytes == unsent_) return;
    unsent_ = bytes;
    set(descriptor_, IPPROTO_TCP, TCP_NOTSENT_LOWAT, static_cast<unsigned>(bytes));
}

void socket_queue::apply_pace(std::optional<double> bytes_per_second) {
    const auto pace = bytes_per_second ? static_cast<std::uint64_t>(*bytes_per_second) : no_pace;
    if (pace == pace_) return;
    pace_ = pace;
    set(descriptor_, SOL_SOCKET, SO_MAX_PACING_RATE, pace);
}

void socket_queue::apply_limit(std::optional<std::size_t> bytes) {
    if (bytes == limit_) return;
    limit_ = bytes;
    set(descriptor_, SOL_SOCKET, SO_SNDBUF,
        static_cast<int>(bytes.value_or(send_buffer_max()) / 2));
    if (bytes && *bytes < send_buffer_max()) return; // The most that can be set is no bound.
    const auto locks = get<int>(descriptor_, SOL_SOCKET, SO_BUF_LOCK).value_or(0);
    set(descriptor_, SOL_SOCKET, SO_BUF_LOCK, locks & ~send_buffer_lock);
}

} // namespace muxsocks
