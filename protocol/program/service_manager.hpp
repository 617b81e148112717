#pragma once

/// \file
/// The service manager that has started this process (systemd, Type=notify): it is told when the
/// program is ready, reloads and stops, and that every thread still runs. The messages are those of
/// sd_notify(3), one datagram each to the socket that $NOTIFY_SOCKET names, so small a protocol
/// that no library is linked for it. Without the variable nothing is sent.

#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"

#include <atomic>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

/// All functions may be called from any thread. What cannot be sent is logged once and costs
/// nothing else.
class service_manager {
  public:
    /// Reads $NOTIFY_SOCKET (a path, or a name in the abstract namespace behind "@"),
    /// $WATCHDOG_USEC and $WATCHDOG_PID.
    service_manager();

    /// The program serves; also after reloading(). `status` is what `systemctl status` shows.
    void ready(std::string status);
    void reloading();
    /// The program stops, and may take `longest` for it.
    void stopping(std::chrono::milliseconds longest);
    void alive();
    /// Another process is the service from here on.
    void main_process(int id);

    // ---- What it keeps for the next process.

    /// Whether it keeps descriptors ($FDSTORE, which systemd sets from version 254 on, and the unit
    /// for older ones).
    [[nodiscard]] bool keeps_descriptors() const { return keeps_descriptors_; }
    /// False if it was not told of all of them. They stay the caller's.
    bool store(std::string_view name, std::span<const int> descriptors);
    /// Those of the name are closed there.
    void forget_stored(std::string_view name);
    /// Whether all that was said has come to it, in a few seconds: a process that ends before may
    /// not have been heard.
    bool wait();

    /// The time between two calls of alive(): half of what the manager waits for. Zero: nobody
    /// waits.
    [[nodiscard]] std::chrono::microseconds alive_interval() const { return alive_interval_; }

  private:
    void send(const std::string& message);

    std::string socket_;
    std::chrono::microseconds alive_interval_{0};
    bool keeps_descriptors_ = false;
    std::atomic<bool> complained_{false};
};

/// Calls alive() in time as long as all threads answer: one that hangs gets the process restarted.
class service_watchdog {
  public:
    /// `clock` is that of one of the `threads`; all of them outlive this.
    service_watchdog(service_manager& manager, deadlines& clock,
                     std::vector<asio::io_context*> threads);
    void start();

  private:
    void ask_all();

    service_manager& manager_;
    std::vector<asio::io_context*> threads_;
    deadline next_;
};

} // namespace muxsocks
