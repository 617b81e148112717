#pragma once

/// \file
/// A level-triggered epoll loop, as thin as it can be: the load generator shares its processors
/// with the programs that it measures. Single-threaded, but adopt() may hand a socket to the loop
/// of another thread.

#include "benchmarks/load/socket.hpp"

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/epoll.h>

namespace muxsocks::load {

/// A turn's longest wait; bounds how late a deadline is noticed.
inline constexpr std::chrono::milliseconds turn_wait{10};

/// Whoever owns a watched socket. on_ready may close its own socket and even delete itself, but
/// no other handler that is being watched.
class event_handler {
  public:
    virtual ~event_handler() = default;
    /// `events` as epoll_wait gave them.
    virtual void on_ready(std::uint32_t events) = 0;

  protected:
    event_handler() = default;
    event_handler(const event_handler&) = default;
    event_handler& operator=(const event_handler&) = default;
};

class event_loop {
  public:
    event_loop();

    /// From now on `handler` hears of `events` on this socket, until the socket is closed.
    void watch(int socket, std::uint32_t events, event_handler& handler);
    /// Changes what is watched.
    void change(int socket, std::uint32_t events, event_handler& handler);
    /// Stops watching a socket that stays open.
    void forget(int socket);

    /// Waits for events, for at most `wait`, and has them handled.
    void turn(std::chrono::milliseconds wait);

    /// A buffer that every handler may use within one on_ready; what it holds is gone afterwards.
    std::span<std::uint8_t> shared_buffer() { return buffer_; }

  private:
    file_descriptor epoll_;
    std::vector<epoll_event> ready_;
    std::vector<std::uint8_t> buffer_;
};

} // namespace muxsocks::load
