#pragma once

/// \file
/// The listening sockets of a program: opened, accepted from, moved by a reload, and closed, in one
/// thread. Each port is bound by one socket of one process, whatever the number of threads: two
/// programs on it would share out its connections in silence (so no SO_REUSEPORT). Who serves a
/// connection is the business of `take`.
///
///     listening --error of accept--> pausing --100 ms--> listening
///                                       |                   ^
///                                       +-- its socket is dead: a new one, each second until it is
///                                       there
///
/// Not for other threads.

#include "protocol/link/loop/deadlines.hpp"
#include "protocol/program/listen.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace muxsocks {

class listeners {
  public:
    /// `what` stands in the log: "listening for WHAT on 127.0.0.1:1080". `take` owns each
    /// descriptor that it gets.
    using take_function = std::function<void(int descriptor, const listen_address& from)>;
    listeners(asio::io_context& context, deadlines& clock, std::string what, take_function take);
    ~listeners();
    listeners(const listeners&) = delete;
    listeners& operator=(const listeners&) = delete;

    /// Binds them all; connections wait until accept(). Throws std::runtime_error with a sentence,
    /// also if this host has none of the addresses.
    /// Of `inherited` those are used that bear the name of one of the addresses, the others closed.
    void open(std::span<const listen_address> addresses,
              std::vector<inherited_listener> inherited = {});
    void accept();
    /// Connections wait until go_on_accepting().
    void pause();
    void go_on_accepting();
    /// These and no others from now on; also what could not be bound the last time is tried again.
    /// What fails is said in the log.
    void move_to(std::span<const listen_address> addresses);
    void close();
    /// The sockets go on in another process; they are closed here alone.
    void let_go();

    /// For who takes them over: they stay this one's.
    [[nodiscard]] std::vector<inherited_listener> to_inherit();
    /// The descriptors, for tests.
    [[nodiscard]] std::vector<int> native_handles();

  private:
    struct listener {
        listen_address address;
        tcp_acceptor acceptor;
        asio::ip::tcp::endpoint bound;
        std::unique_ptr<deadline> pause; ///< After an error.
        int trouble = 0;                 ///< errno of the last turn; 0 if it went well.
    };

    std::unique_ptr<listener> bind(const listen_address& address);
    std::unique_ptr<listener> make(const listen_address& address,
                                   std::optional<tcp_acceptor> acceptor);
    void begin(listener& on);
    void wait(listener& on);
    void on_error(listener& on, int error);
    void go_on(listener& on);
    void close(std::vector<std::unique_ptr<listener>> those);

    asio::io_context& context_;
    deadlines& clock_;
    std::string what_;
    take_function take_;
    std::vector<std::unique_ptr<listener>> all_;
};

} // namespace muxsocks
