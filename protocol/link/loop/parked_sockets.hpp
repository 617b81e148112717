#pragma once

/// \file
/// Sockets of one thread that nobody reads, since their streams have no credit, no link, or no turn
/// as the peer takes nothing. What the kernel holds for them cannot be refused any more, as it was
/// promised to the far end: so it is looked at, and whoever has the socket charges it. A socket
/// that moves again leaves the list, so that one which is only slow is never looked at.
///
/// A look is a system call. So few are looked at at a time, a whole pass takes two seconds (of many
/// thousands more), and passes in which nothing has changed make the pauses longer.

#include "protocol/link/loop/deadlines.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <cstddef>

namespace muxsocks {

class parked_sockets;

class parked_socket : public boost::intrusive::list_base_hook<> {
  public:
    /// It has been parked for a while: is to see what the kernel holds for it. Returns whether that
    /// has changed. No socket joins or leaves before it returns.
    virtual bool look() = 0;

  protected:
    ~parked_socket() = default;

  private:
    friend class parked_sockets;
    deadline::clock::time_point since_{}; ///< It is parked.
};

class parked_sockets {
  public:
    explicit parked_sockets(deadlines& clock) : timer_(clock, [this] { on_time(); }) {}

    void add(parked_socket& one);
    void remove(parked_socket& one) { sockets_.erase(sockets_.iterator_to(one)); }
    [[nodiscard]] std::size_t size() const { return sockets_.size(); }
    /// Between two looks, which is so long at first.
    [[nodiscard]] std::chrono::milliseconds pause() const { return pause_; }
    static constexpr std::chrono::milliseconds pause_min{500};
    static constexpr std::chrono::milliseconds pause_max{4'000};
    /// A socket is not looked at before it has been parked for so long: it stands still by then.
    static constexpr std::chrono::milliseconds patience{5'000};

  private:
    void on_time();

    boost::intrusive::list<parked_socket> sockets_; ///< Those first whose look is longest ago.
    std::chrono::milliseconds pause_ = pause_min;
    std::size_t left_of_pass_ = 0;
    bool changed_ = false; ///< Whether anything has, in this pass.
    deadline timer_;
};

/// Bytes of memory that the kernel holds of what has come for the socket; 0 where it does not tell.
std::size_t kernel_memory_of(int descriptor);

} // namespace muxsocks
