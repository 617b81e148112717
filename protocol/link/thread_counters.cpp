#include "protocol/link/thread_counters.hpp"

#include "protocol/session/session.hpp"

#include <algorithm>

namespace muxsocks {
namespace {

template <std::size_t Size>
void add(std::array<std::uint64_t, Size>& to, const std::array<std::uint64_t, Size>& from) {
    for (std::size_t i = 0; i < Size; ++i)
        to[i] += from[i];
}

} // namespace

std::uint64_t resumed_of(const session_statistics& counted) noexcept {
    return counted.links > 0 ? counted.links - 1 : 0;
}

void time_histogram::add(std::chrono::nanoseconds time) noexcept {
    const auto took = std::chrono::duration<double>(time).count();
    const auto bound = std::lower_bound(bounds.begin(), bounds.end(), took);
    ++counts[static_cast<std::size_t>(bound - bounds.begin())];
    seconds += took;
}

time_histogram& time_histogram::operator+=(const time_histogram& other) noexcept {
    muxsocks::add(counts, other.counts);
    seconds += other.seconds;
    return *this;
}

session_totals::session_totals(const session_statistics& counted) noexcept
    : streams_opened(counted.streams_opened),
      bytes_sent(counted.bytes_sent),
      bytes_received(counted.bytes_received),
      resumed(resumed_of(counted)),
      shed(counted.shed),
      refused(counted.refused) {}

session_totals& session_totals::operator-=(const session_totals& other) noexcept {
    streams_opened -= other.streams_opened;
    bytes_sent -= other.bytes_sent;
    bytes_received -= other.bytes_received;
    resumed -= other.resumed;
    shed -= other.shed;
    refused -= other.refused;
    return *this;
}

session_totals& session_totals::operator+=(const session_totals& other) noexcept {
    streams_opened += other.streams_opened;
    bytes_sent += other.bytes_sent;
    bytes_received += other.bytes_received;
    resumed += other.resumed;
    shed += other.shed;
    refused += other.refused;
    return *this;
}

thread_counters& thread_counters::operator+=(const thread_counters& other) noexcept {
    links_established += other.links_established;
    add(links_lost, other.links_lost);
    add(handshakes_failed, other.handshakes_failed);
    handshakes += other.handshakes;
    sessions += other.sessions;
    sessions_begun += other.sessions_begun;
    add(streams_ended, other.streams_ended);
    stream_ages += other.stream_ages;
    gaps += other.gaps;
    sessions_lost += other.sessions_lost;
    add(replies, other.replies);
    dials += other.dials;
    dials_failed += other.dials_failed;
    add(denied, other.denied);
    authentications_failed += other.authentications_failed;
    direct_opened += other.direct_opened;
    direct_failed += other.direct_failed;
    direct_bytes_up += other.direct_bytes_up;
    direct_bytes_down += other.direct_bytes_down;
    return *this;
}

} // namespace muxsocks
