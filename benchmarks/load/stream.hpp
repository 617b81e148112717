#pragma once

/// \file
/// A connection of the load generator's client to the target: directly, through a relay, through a
/// SOCKS5 proxy (RFC 1928 without authentication), through an HTTP proxy's CONNECT, or as the body
/// of a request that an HTTP proxy forwards. Opens without blocking and then hands over to the work
/// that is measured.

#include "benchmarks/load/event_loop.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace muxsocks::load {

/// What works with one byte send, and must get back.
inline constexpr std::uint8_t echoed_byte = 'e';

/// The way to the target.
struct route {
    endpoint target;                   ///< as the proxy, or the relay's far side, reaches it
    std::optional<endpoint> socks;     ///< a SOCKS5 proxy
    std::optional<endpoint> http;      ///< an HTTP proxy, by CONNECT
    std::optional<endpoint> forwarder; ///< an HTTP proxy, by a POST whose body the stream is
    std::optional<endpoint> direct;    ///< otherwise: where to connect to (the target, or a relay)
    socket_settings settings;

    const endpoint& first_hop() const;
};

class stream : public event_handler {
  public:
    enum class state { idle, connecting, method, reply, open, ended };

    stream(event_loop& loop, const route& way) : loop_(loop), way_(way) {}

    /// Begins to open; on_open() or on_end() follows, possibly before this returns. May be called
    /// again after the end.
    void start();

    state current() const { return state_; }

    /// Why the stream ended before its work was done; empty if it did not.
    const std::string& failure() const { return failure_; }

    void on_ready(std::uint32_t events) final;

  protected:
    /// The stream carries bytes from now on; EPOLLIN is watched.
    virtual void on_open() = 0;
    /// Events of the open stream.
    virtual void on_io(std::uint32_t events) = 0;
    /// After fail() or finish().
    virtual void on_end() {}
    /// What the work sends in all, which the head of a forwarded request has to say.
    virtual std::uint64_t bytes_to_send() const { return 1; }

    int socket() const { return socket_.get(); }
    event_loop& loop() { return loop_; }

    /// Watches `events` from now on.
    void watch(std::uint32_t events) { loop_.change(socket_.get(), events, *this); }

    /// Reads once into the loop's buffer, at most `bytes_max`. Nothing if nothing is there or if
    /// the stream ended, which then has been failed.
    std::optional<std::span<std::uint8_t>> receive(std::size_t bytes_max);

    /// Sends something small that has to fit into the socket's buffer; fails the stream if not.
    bool send_small(const void* bytes, std::size_t size);

    /// Ends the stream: as wanted, or with a sentence that says what went wrong.
    void finish();
    void fail(std::string why);

  private:
    void on_connected();
    void on_handshake();
    void on_answer_head();
    void send_request();

    event_loop& loop_;
    const route& way_;
    file_descriptor socket_;
    state state_ = state::idle;
    std::array<std::uint8_t, 32> answer_{};
    std::size_t answer_bytes_ = 0;
    std::string answer_head_; ///< of HTTP, as far as it has come
    std::string failure_;
};

} // namespace muxsocks::load
