#pragma once

/// \file
/// One application's connection from its request on: it becomes a stream on some session, or is
/// answered with the REP that says why not. Only ever one of three has it: the list of those that
/// wait for a link (link_pool), a client_relay, or close_lingering().

#include "protocol/link/relay.hpp"
#include "socks5/reply_code.hpp"

#include <string>
#include <vector>

namespace muxsocks::client {

/// An application's request that has no stream yet.
struct pending_request {
    tcp_socket socket;
    std::vector<std::uint8_t> request; ///< RFC 1928 request as it goes into the stream.
    std::vector<std::uint8_t> early;   ///< What the application sent right behind it.
    std::string destination;           ///< For the log; empty below its level.
    instant give_up{};                 ///< When to answer REP 01 for want of a link.
    unsigned tries = 0;                ///< Sessions that it had a stream on.
    /// Sessions that did not take it up, and are not asked again.
    std::vector<session_id> refused_by{};
    std::uint64_t number = 0; ///< Among those that wait for a link.
};

/// Answers a request that gets no stream, and closes the connection.
void answer(deadlines& clock, pending_request request, socks5::reply_code rep);

/// Where a request goes that a session has not taken up.
class request_sink {
  public:
    virtual void submit(pending_request request) = 0;

  protected:
    ~request_sink() = default;
};

/// The relay of one request: waits for the stream to open and for the whole reply, which it passes
/// on, and answers by itself when there will be none.
class client_relay final : public relay {
  public:
    client_relay(driver_ptr driver, pending_request request, const relay_timeouts& timeouts,
                 request_sink& sink);

    void begin();

  private:
    bool on_first_bytes(std::span<const bytes_view> bytes) override;
    bool early_end_cancels() const override { return true; }
    bool on_stream_end() override;
    bool on_reset_before_bytes(std::error_code why) override;
    void on_ended(std::error_code why) override;
    /// Whether another session may have the request, after this one's stream has ended.
    bool can_go_elsewhere(std::error_code why, const pending_request& request) const;
    void on_wait_over();
    /// There will be no reply: the stream has ended before, or what came is none.
    void on_no_reply();

    /// What is needed until the reply is there.
    struct opening_state {
        opening_state(pending_request from, deadlines& clock, unique_function<void()> on_wait_over)
            : request(std::move(from)), wait(clock, std::move(on_wait_over)) {}
        pending_request request; ///< Its socket is the relay's.
        deadline wait;
    };
    std::unique_ptr<opening_state> opening_;
    request_sink& sink_;
    std::string destination_;
    std::uint32_t id_ = 0;
    static constexpr std::uint8_t no_reply = 0xff;
    std::uint8_t rep_ = no_reply; ///< REP of the reply that has passed through.
    std::chrono::steady_clock::time_point began_;
};

} // namespace muxsocks::client
