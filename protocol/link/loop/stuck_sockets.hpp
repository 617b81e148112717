#pragma once

/// \file
/// Sockets of one thread that nobody reads while the kernel holds bytes for them, since there is no
/// credit for their stream, or no link. What the
/// kernel holds cannot be taken back from the far end, to whom it was promised, so it is looked at,
/// and whoever has the socket charges it. A socket that moves again leaves the list: one that
/// is only slow is never looked at.
///
/// A look is a system call. So few are looked at at a time, a whole pass takes two seconds (of many
/// thousands more), and passes in which nothing has changed make the pauses longer.

#include "protocol/link/loop/deadlines.hpp"

#include <boost/intrusive/list.hpp>

#include <chrono>
#include <cstddef>

namespace muxsocks {

class stuck_sockets;

class stuck_socket : public boost::intrusive::list_base_hook<> {
  public:
    /// It has stood still for a while: is to see what the kernel holds for it. Returns whether that
    /// has changed.
    virtual bool look() = 0;

  protected:
    ~stuck_socket() = default;

  private:
    friend class stuck_sockets;
    deadline::clock::time_point since_{}; ///< It stands still.
};

class stuck_sockets {
  public:
    explicit stuck_sockets(deadlines& clock) : timer_(clock, [this] { on_time(); }) {}

    void add(stuck_socket& one);
    void remove(stuck_socket& one) { sockets_.erase(sockets_.iterator_to(one)); }
    [[nodiscard]] std::size_t size() const { return sockets_.size(); }
    /// Between two looks, which is so long at first.
    [[nodiscard]] std::chrono::milliseconds pause() const { return pause_; }
    static constexpr std::chrono::milliseconds pause_min{500};
    static constexpr std::chrono::milliseconds pause_max{4'000};
    /// A socket is not looked at before it has stood still for so long.
    static constexpr std::chrono::milliseconds patience{4'000};

  private:
    void on_time();

    boost::intrusive::list<stuck_socket> sockets_; ///< Those first whose look is longest ago.
    std::chrono::milliseconds pause_ = pause_min;
    std::size_t left_of_pass_ = 0;
    bool changed_ = false; ///< Whether anything has, in this pass.
    deadline timer_;
};

/// Bytes of memory that the kernel holds of what has come for the socket; 0 where it does not tell.
std::size_t kernel_memory_of(int descriptor);

} // namespace muxsocks
