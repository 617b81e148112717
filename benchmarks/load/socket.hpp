#pragma once

/// \file
/// Descriptors, addresses and the few socket calls that the load generator makes. Buffers are left
/// to the kernel (no SO_SNDBUF, no SO_RCVBUF): setting them would switch its tuning off.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <netinet/in.h>

namespace muxsocks::load {

/// Owns one descriptor; -1 is none.
class file_descriptor {
  public:
    file_descriptor() = default;
    explicit file_descriptor(int value) : value_(value) {}
    file_descriptor(file_descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
    file_descriptor& operator=(file_descriptor&& other) noexcept {
        if (this != &other) {
            reset();
            value_ = std::exchange(other.value_, -1);
        }
        return *this;
    }
    ~file_descriptor() { reset(); }

    int get() const { return value_; }
    explicit operator bool() const { return value_ >= 0; }
    void reset();

  private:
    int value_ = -1;
};

/// A numeric IPv4 or IPv6 address with a port; names are not resolved.
class endpoint {
  public:
    endpoint() = default;

    /// Reads "127.0.0.1:80" or "[::1]:80". Throws std::runtime_error with a sentence.
    static endpoint parse(std::string_view text);
    static endpoint of_local(int socket);

    const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t size() const { return size_; }
    int family() const { return storage_.ss_family; }
    std::string text() const;

  private:
    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

/// What is set on every socket. An empty congestion control is the system's.
struct socket_settings {
    std::string congestion;
};

/// A listening socket, non-blocking; what it accepts has TCP_NODELAY.
file_descriptor listen_on(const endpoint& local, const socket_settings& settings);

/// Begins a connection without waiting. `connected` tells whether it is there already, as is usual
/// on loopback. Without a descriptor the connection failed at once, see errno.
struct connecting_socket {
    file_descriptor socket;
    bool connected = false;
};
connecting_socket connect_to(const endpoint& remote, const socket_settings& settings);

/// Closes with RST, discarding what is buffered in either direction.
void close_by_reset(file_descriptor& socket);

/// The pending error of a socket, 0 if there is none.
int pending_error(int socket);

[[noreturn]] void throw_errno(const char* what);

/// Raises the soft limit of open descriptors to the hard one, and beyond where permitted.
void raise_descriptor_limit();

} // namespace muxsocks::load
