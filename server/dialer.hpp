#pragma once

/// \file
/// Connects to targets on behalf of the clients: lookup, rules for destinations, the race of the
/// addresses, and the limits of lookups and connects at once, which users share fairly. Every
/// address is judged by the policy and then dialled as it was judged; nothing is looked up twice.
///
/// One dialer a thread; they may share the places. The connected socket and the reply to the client
/// are others' business.

#include "protocol/link/dial/happy_eyeballs.hpp"
#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/rounds.hpp"
#include "protocol/link/loop/unique_function.hpp"
#include "server/dial_error.hpp"
#include "server/dial_places.hpp"
#include "server/own_addresses.hpp"
#include "server/target_policy.hpp"
#include "server/user_account.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

namespace muxsocks::server {

struct dial_result {
    /// None: `socket` is connected. Else connect()'s errno in the system category, resolve_errc,
    /// connect_errc, dial_errc or socks5::reply_code::ttl_expired: each of them is what
    /// socks5::reply_code_from makes a true REP of.
    std::error_code error;
    /// With dial_errc::denied: the sentence of target_policy::refusal for the log. Empty otherwise.
    std::string reason;
    /// With dial_errc::denied: target_policy::range_refused. Empty otherwise.
    std::string range;
    /// With dial_errc::denied: by which rule.
    denied_by rule = denied_by::deny;
    /// TCP_NODELAY and SO_KEEPALIVE are set, and the descriptor is non-blocking (O_NONBLOCK).
    tcp_socket socket;
    /// BND.ADDR and BND.PORT; meaningless if there is an error.
    asio::ip::tcp::endpoint local;
    /// The address that answered; meaningless if there is an error.
    asio::ip::tcp::endpoint peer;
};

struct dial_limits {
    /// Connects under way at once, and lookups; more wait for a place (dial_places). Only for a
    /// dialer that shares its places with no other.
    std::size_t dials_max = 1024;
    std::size_t lookups_max = 256;
    /// For one dial, its waiting included.
    std::chrono::milliseconds timeout{10'000};
};

class dialer {
  public:
    using dial_id = std::uint64_t;
    /// Called through the executor, never before dial() has returned. May destroy the dialer.
    using handler = unique_function<void(dial_result)>;

    /// The parts of `services` must outlive the dialer. Without `places` it has its own.
    explicit dialer(const dial_services& services, const dial_limits& limits = {},
                    own_addresses own = {}, std::shared_ptr<dial_places> places = {});
    /// Cancels all dials.
    ~dialer();
    dialer(const dialer&) = delete;
    dialer& operator=(const dialer&) = delete;

    /// Dials an address: the fast path, with one allocation and no lookup. `user` is whom it counts
    /// for; null: nobody. A connect that had to wait for a place begins within `share`.
    dial_id dial(const asio::ip::address& address, std::uint16_t port,
                 std::shared_ptr<const target_policy> policy, handler done,
                 user_account_ptr user = {}, share_ptr share = {});
    /// Dials a name, or an address in any spelling.
    dial_id dial(std::string_view host, std::uint16_t port,
                 std::shared_ptr<const target_policy> policy, handler done,
                 user_account_ptr user = {}, share_ptr share = {});
    /// The handler will not be called, and is destroyed. A connect's place is free at once, a
    /// lookup's when that has really ended: a DNS query cannot be taken back, and whoever dials and
    /// cancels all the time shall not have more of them under way than others. No effect once the
    /// handler was called.
    void cancel(dial_id id);

    /// Dials under way, cancelled ones whose lookup has not ended included.
    [[nodiscard]] std::size_t active() const noexcept;
    /// Dials that wait for a place.
    [[nodiscard]] std::size_t waiting() const noexcept;

  private:
    class operation;
    struct state;

    dial_id enter(std::shared_ptr<operation> one);

    std::unique_ptr<state> state_;
};

} // namespace muxsocks::server
