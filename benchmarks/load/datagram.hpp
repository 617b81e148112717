#pragma once

/// \file
/// What datagrams between the load generator's client and its target hold, and sockets that send
/// and receive many of them with one system call. Both ends are this program on one machine, so
/// integers travel in the machine's own order.
///
///     echo   datagram_head, then bytes that all are the low byte of `number`; comes back as it is
///     flow   see flow.hpp

#include "benchmarks/load/socket.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/socket.h>
#include <sys/uio.h>

namespace muxsocks::load {

enum class datagram_kind : std::uint8_t { echo = 'D', flow = 'F' };

struct datagram_head {
    datagram_kind kind = datagram_kind::echo;
    std::array<std::uint8_t, 3> reserved{};
    std::uint32_t of = 0; ///< which association's, or which flow's
    std::uint64_t number = 0;
    std::int64_t sent_ns = 0; ///< by the monotonic clock
};
static_assert(sizeof(datagram_head) == 24);

/// The longest payload; the header of SOCKS5 comes on top.
inline constexpr std::size_t datagram_bytes_max = 1472;
inline constexpr std::size_t datagrams_at_once = 64;

/// Lays an echo's payload; `place` is at least as long as the head.
void lay_echo(std::span<std::uint8_t> place, const datagram_head& head);
/// Whether these bytes are what lay_echo() made for their number.
bool is_echo(std::span<const std::uint8_t> bytes);

/// A UDP socket, non-blocking and with large buffers: what is lost is for the measured programs.
file_descriptor datagram_socket(int family);

/// Datagrams that are received together, or collected to be sent together.
class datagram_batch {
  public:
    datagram_batch();

    /// Receives what is there, at most a whole batch; returns how many.
    std::size_t receive(int socket);
    std::span<std::uint8_t> bytes(std::size_t i) { return {buffer_of(i), sizes_[i]}; }

    /// Room for one more; it is sent with flush() once used() has said its size.
    std::span<std::uint8_t> room() { return {buffer_of(count_), slot_bytes}; }
    /// `to` may be null on a connected socket.
    void used(std::size_t size, const sockaddr_storage* to = nullptr);
    bool full() const { return count_ == datagrams_at_once; }
    bool empty() const { return count_ == 0; }
    /// Sends all that were collected; what the kernel does not take is lost, as datagrams are.
    /// Returns how many it has taken.
    std::size_t flush(int socket);

    /// Datagram `i` of the last receive() goes back to where it came from by flush_kept().
    void keep(std::size_t i) { kept_.push_back(i); }
    void flush_kept(int socket);
    const sockaddr_storage& from(std::size_t i) const { return addresses_[i]; }

  private:
    static constexpr std::size_t slot_bytes = 2048;
    std::uint8_t* buffer_of(std::size_t i) { return buffer_.data() + i * slot_bytes; }

    std::vector<std::uint8_t> buffer_;
    std::array<std::size_t, datagrams_at_once> sizes_{};
    std::array<sockaddr_storage, datagrams_at_once> addresses_{};
    std::array<socklen_t, datagrams_at_once> address_sizes_{};
    std::array<iovec, datagrams_at_once> parts_{};
    std::array<mmsghdr, datagrams_at_once> messages_{};
    std::vector<std::size_t> kept_;
    std::size_t count_ = 0;
};

} // namespace muxsocks::load
