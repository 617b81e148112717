#pragma once

/// \file
/// One end of one transfer on a connected socket: sends a pattern and a FIN, and checks every byte
/// of the pattern that it expects and the FIN behind it. Both ends of a transfer are exchanges with
/// the keys swapped. Whatever is not exactly right is a named outcome; a connection that was reset
/// is told from one that ended early as if it were complete.

#include "protocol/link/loop/asio.hpp"
#include "tests/tools/exact/pattern.hpp"
#include "tests/tools/quantity.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace muxsocks::tools {

/// From harmless to worst; of a transfer's two ends the worse one counts.
enum class outcome : std::size_t {
    ok,
    reset,   ///< RST, in any state
    refused, ///< no connection: the SOCKS reply or the connection attempt itself
    timeout, ///< not over within the deadline
    extra,   ///< bytes behind the last one
    early,   ///< FIN before the last byte: to the application the transfer looks complete
    wrong,   ///< a byte that is not the one that was sent
};

inline constexpr std::size_t outcomes = 7;

std::string_view name(outcome what);

struct result {
    outcome what = outcome::ok;
    std::string detail;
};

struct exchange_plan {
    std::uint64_t send_key = 0;
    std::uint64_t send_bytes = 0;
    std::uint64_t receive_key = 0;
    std::uint64_t receive_bytes = 0;
    /// Whether nothing is sent before the peer's FIN has come.
    bool send_after_end = false;
    /// Whether the FIN waits for all bytes of the peer, or for the peer's FIN too.
    bool end_after_input = false;
    bool end_after_end = false;
    /// Bytes a second to send, 0: as many as the socket takes.
    std::uint64_t pace = 0;
    duration deadline = std::chrono::minutes(1);
};

class exchange : public std::enable_shared_from_this<exchange> {
  public:
    using on_done = std::function<void(const result&)>;

    exchange(asio::io_context& io, tcp_socket socket, const exchange_plan& plan, on_done done);
    void start();

  private:
    void wait_readable();
    void wait_writable();
    void read();
    void write();
    void pause_writing();
    void end_output_if_due();
    bool check(std::span<const std::byte> bytes);
    void end_of_input();
    void finish(outcome what, std::string detail = {});
    void finish_if_complete();
    std::uint64_t allowance() const;

    tcp_socket socket_;
    exchange_plan plan_;
    on_done done_;
    steady_timer deadline_;
    steady_timer pause_;
    time_point began_;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
    bool sent_end_ = false;
    bool received_end_ = false;
    bool finished_ = false;
};

} // namespace muxsocks::tools
