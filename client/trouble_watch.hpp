#pragma once

/// \file
/// Signs that links may be dead though their sockets do not know it: the machine has slept
/// (CLOCK_BOOTTIME has run ahead of CLOCK_MONOTONIC), or its addresses or routes have changed
/// (rtnetlink). Judging the links is left to the supervisors.

#include "protocol/link/asio.hpp"
#include "protocol/link/deadlines.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <chrono>
#include <functional>
#include <string>

namespace muxsocks::client {

class trouble_watch {
  public:
    /// `on_trouble` gets a reason for the log, and how long the machine has slept, else zero; it is
    /// called from the context's thread.
    using trouble_handler = std::function<void(const char* reason, std::chrono::nanoseconds slept)>;
    trouble_watch(asio::io_context& context, deadlines& clock, trouble_handler on_trouble);
    trouble_watch(const trouble_watch&) = delete;
    trouble_watch& operator=(const trouble_watch&) = delete;

    void start();
    void stop();

  private:
    void open_netlink();
    void wait_netlink();
    void on_netlink();
    void on_settled();
    void on_tick();

    trouble_handler on_trouble_;
    asio::posix::basic_stream_descriptor<executor> netlink_;
    deadline settle_; ///< A change comes as a burst of messages: judged when it has settled.
    deadline tick_;
    std::chrono::nanoseconds slept_{0};
    std::string network_;
};

} // namespace muxsocks::client
