#pragma once

/// \file
/// Signs that links may be dead though their sockets do not know it: the machine has slept
/// (CLOCK_BOOTTIME has run ahead of CLOCK_MONOTONIC), or its interfaces, addresses or routes change
/// (rtnetlink). Whether that concerns a link is left to the supervisors.

#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <chrono>

namespace muxsocks::client {

class trouble_watch {
  public:
    /// Called from the context's thread.
    class watcher {
      public:
        /// Once for a burst of changes.
        virtual void on_network_changed() = 0;
        virtual void on_slept(std::chrono::nanoseconds time) = 0;

      protected:
        ~watcher() = default;
    };

    trouble_watch(asio::io_context& context, deadlines& clock, watcher& to);
    trouble_watch(const trouble_watch&) = delete;
    trouble_watch& operator=(const trouble_watch&) = delete;

    void start();
    void stop();

  private:
    void open_netlink();
    void wait_netlink();
    void on_netlink();
    void on_tick();

    watcher& watcher_;
    asio::posix::basic_stream_descriptor<executor> netlink_;
    deadline settle_; ///< A change comes as a burst of messages: judged when it has settled.
    deadline tick_;
    std::chrono::nanoseconds slept_{0};
};

} // namespace muxsocks::client
