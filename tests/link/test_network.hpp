#pragma once

/// \file
/// Small things that tests with sockets need: a loop that waits for a fact, listeners on loopback,
/// an address that never answers, a file for the time of a test.

#include "protocol/link/loop/asio.hpp"

#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::test {

/// Runs `context` until `fact` is true or `limit` has passed; the last value of `fact`.
template <typename Fact>
bool run_until(asio::io_context& context, Fact fact,
               std::chrono::steady_clock::duration limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!fact() && std::chrono::steady_clock::now() < end) {
        if (context.stopped()) context.restart();
        context.run_one_for(std::chrono::milliseconds(20));
    }
    return fact();
}

/// Runs what is ready, without waiting.
inline void run_ready(asio::io_context& context) {
    if (context.stopped()) context.restart();
    context.poll();
}

/// Whether this host has the address ::1. Without, a test that needs it warns that it is skipped.
bool has_ipv6();

/// Listens and accepts everything until it is destroyed.
class listener {
  public:
    /// Port 0: a free one.
    listener(asio::io_context& context, std::string_view address, std::uint16_t port = 0);

    [[nodiscard]] asio::ip::tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }
    [[nodiscard]] std::uint16_t port() const { return endpoint().port(); }
    [[nodiscard]] std::vector<tcp_socket>& accepted() { return accepted_; }

  private:
    void accept();

    tcp_acceptor acceptor_;
    std::vector<tcp_socket> accepted_;
};

/// An address of loopback at which nobody answers a SYN, with neither SYN-ACK nor RST: a listener
/// whose queue is full.
class black_hole {
  public:
    explicit black_hole(asio::io_context& context, std::string_view address,
                        std::uint16_t port = 0);

    [[nodiscard]] asio::ip::tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }
    [[nodiscard]] std::uint16_t port() const { return endpoint().port(); }

  private:
    tcp_acceptor acceptor_;
    std::vector<tcp_socket> fillers_;
};

/// An endpoint of loopback that refuses: the port was free a moment ago.
asio::ip::tcp::endpoint refusing_endpoint(asio::io_context& context, std::string_view address);

/// A file with this content, until the object is destroyed.
class temporary_file {
  public:
    explicit temporary_file(std::string_view content);
    ~temporary_file();
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    void write(std::string_view content);

  private:
    std::string path_;
};

/// Sets a variable of the environment until the object is destroyed, and then takes it out.
class environment_variable {
  public:
    environment_variable(const char* name, const char* value) : name_(name) {
        ::setenv(name, value, 1);
    }
    ~environment_variable() { ::unsetenv(name_); }
    environment_variable(const environment_variable&) = delete;
    environment_variable& operator=(const environment_variable&) = delete;

  private:
    const char* name_;
};

/// How many descriptors this process has open.
std::size_t open_descriptors();

} // namespace muxsocks::test
