#pragma once

/// \file
/// What an application asks for, until it has a stream. Only ever one of three has it: the queue of
/// those that wait for a link (request_queue), the session that has taken it up, or nobody any
/// more, once it has been refused. How the application is told, and over what, is the request's own
/// business: a new kind of it touches neither the choice of sessions nor the queue.

#include "client/movable.hpp"
#include "protocol/link/relay.hpp"
#include "socks5/address.hpp"
#include "socks5/reply_code.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::client {

/// Why a request gets no stream, as the client itself has to say it.
struct refusal {
    socks5::reply_code rep = socks5::reply_code::general_failure;
    /// One sentence for who can read it; empty where the REP says all.
    std::string_view text;
    /// Whether the same request may well succeed in a moment.
    bool passes = false;
};

namespace refusals {
inline constexpr refusal no_link{socks5::reply_code::general_failure,
                                 "There is no link to the server.", true};
inline constexpr refusal not_taken{socks5::reply_code::general_failure,
                                   "The server takes no more streams at once.", true};
inline constexpr refusal stopping{socks5::reply_code::general_failure, "The client stops.", true};
inline constexpr refusal no_reply{socks5::reply_code::general_failure,
                                  "The server has given no answer.", false};
inline constexpr refusal denied{socks5::reply_code::not_allowed,
                                "The server does not allow this destination.", false};
} // namespace refusals

class direct_dialer;
class request_sink;

class pending_request : public ref_counted<pending_request>, public movable {
  public:
    virtual ~pending_request() = default;

    /// Becomes a stream of this session. What the session does not take up after all comes back to
    /// `sink`.
    virtual void begin(driver_ptr driver, request_sink& sink) = 0;
    /// Tells the application, and is over.
    virtual void refuse(const refusal& why) = 0;
    /// It waits: `gone` is to be called once if the application goes away before begin() or
    /// refuse().
    virtual void watch(std::function<void()> gone) = 0;
    /// As long as it waits.
    bool save_connection(std::vector<std::uint8_t>&, std::vector<int>&) override { return false; }
    void on_connection_gone() override {}

    // Without the server (direct_dialer): only what has one target.

    virtual std::optional<socks5::address> target() const { return {}; }
    enum class wish : std::uint8_t {
        connection,
        address, ///< Of the target's name.
        name,    ///< Of its address.
    };
    virtual wish asks_for() const { return wish::connection; }
    /// Whether its application may end its sending side before there is an answer.
    virtual bool outlives_half_close() const { return false; }
    /// Instead of begin(): the connection with the target is there, or what was asked for known.
    virtual void begin_direct(tcp_socket /*target*/, direct_dialer& /*by*/) {}
    virtual void tell(const socks5::address& /*found*/) {}

    /// For the log; empty below its level.
    std::string destination{};
    /// When to refuse it for want of a link.
    instant give_up{};
    /// The same as milliseconds from now on, 0 at least.
    std::uint32_t patience() const {
        const auto left = give_up - std::chrono::steady_clock::now();
        return static_cast<std::uint32_t>(
            std::max<std::int64_t>(left / std::chrono::milliseconds(1), 0));
    }
    void set_patience(std::uint32_t milliseconds) {
        give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    }
    /// Sessions that it had a stream on, and on how many it may try.
    unsigned tries = 0;
    static constexpr unsigned tries_max = 3;
    /// Sessions that did not take it up, and are not asked again.
    std::vector<session_id> refused_by{};
};

using request_ptr = boost::intrusive_ptr<pending_request>;

/// Where requests go, new ones and those that a session has not taken up.
class request_sink {
  public:
    virtual void submit(request_ptr request) = 0;
    /// For the relays of the streams. Outlives them.
    virtual const relay_timeouts& stream_timeouts() const = 0;

  protected:
    ~request_sink() = default;
};

} // namespace muxsocks::client
