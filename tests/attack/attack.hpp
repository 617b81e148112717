#pragma once

/// \file
/// What the modes of muxsocks-attack share: the command line, the clock that ends them, and the
/// figures that they leave behind.

#include "tests/attack/session.hpp"

#include <boost/asio/signal_set.hpp>

#include <iosfwd>
#include <map>

namespace muxsocks::attack {

using clock = std::chrono::steady_clock;

struct arguments {
    std::string mode;
    std::string server = "127.0.0.1:0";
    std::string socks = "127.0.0.1:0";
    std::string target = "127.0.0.1:0"; ///< HOST:PORT; # in HOST is a number that rises
    std::string user = "mallory";
    std::string kind;
    std::string source; ///< of connections; empty: many addresses, "0.0.0.0": the kernel's choice
    std::size_t first = 0;    ///< of the many addresses
    std::uint16_t claims = 0; ///< number of an IPv6 /48 that PROXY headers tell of; 0: none
    bool plain = false;
    double seconds = 10;
    double rate = 0; ///< a second; 0: as fast as it goes
    std::size_t count = 0;
    std::size_t sessions = 1;
    std::size_t users = 1;
};

/// Times in milliseconds, and failures by what went wrong.
class outcomes {
  public:
    void succeed(clock::duration after);
    void fail(const std::string& why) { ++failures_[why]; }

    std::size_t failed() const;
    double percentile(double part) const; ///< of 1; 0 if nothing succeeded
    void describe(std::ostream& out) const;

  private:
    mutable std::vector<double> times_;
    std::map<std::string, std::size_t> failures_;
};

/// One run of one mode. It is over when its seconds are, or by SIGTERM.
class run {
  public:
    explicit run(arguments from);

    /// Carries the mode out and writes one line of JSON.
    void execute(awaitable<void> (*mode)(run&));

    bool over() const { return over_ || clock::now() >= end_; }
    void stop() { over_ = true; }
    /// Resumes when so much time has passed; false if the run is over.
    awaitable<bool> go_on_after(std::chrono::nanoseconds time);
    awaitable<void> until_over();
    /// What is to happen `rate` times a second from now on, `count` times at most: the number of
    /// those that are due and have not been taken.
    std::size_t due();

    /// The server, from the n-th address, or from where the command line says.
    destination server(std::size_t n = 0) const;
    std::string target_host();
    std::uint16_t target_port() const;
    bytes request() { return wire::request(target_host(), target_port()); }
    /// The n-th of `users`: the user alone, or its name and a number.
    std::string user(std::size_t n) const;

    /// Writes a line at once, for whoever waits for it.
    void tell(const std::string& line) const;

    asio::io_context io;
    arguments args;
    std::map<std::string, double> counts; ///< the figures, by name
    std::map<std::string, outcomes> measured;

  private:
    asio::signal_set signals_;
    clock::time_point begun_ = clock::now();
    clock::time_point end_;
    std::size_t taken_ = 0;
    std::size_t names_ = 0;
    bool over_ = false;
};

/// Runs a coroutine of its own beside its caller. What it throws is counted as an error.
void start(run& in, awaitable<void> what);

// Whoever measures.
awaitable<void> measure_requests(run& in);
awaitable<void> measure_newcomers(run& in);
awaitable<void> measure_crowd(run& in);
awaitable<void> measure_outage(run& in);
awaitable<void> abandon_sessions(run& in);
// Strangers.
awaitable<void> stay_idle(run& in);
awaitable<void> fail_handshakes(run& in);
awaitable<void> update_keys(run& in);
// Users.
awaitable<void> open_streams(run& in);
awaitable<void> reset_streams(run& in);
awaitable<void> send_tiny_frames(run& in);
awaitable<void> withhold(run& in);
awaitable<void> cut_sessions(run& in);
awaitable<void> rejoin(run& in);
// What else a network has.
awaitable<void> serve_targets(run& in);
awaitable<void> serve_ends(run& in);

} // namespace muxsocks::attack
