#pragma once

/// \file
/// Which targets may be dialled: `destinations` of server.json, and below them the built-in rule
/// that only public addresses may. It judges addresses, never names: what a name resolves to is
/// judged when it is known, and that very address is dialled.
///
/// An IPv6 address that stands for an IPv4 address (IPv4-mapped, NAT64, 6to4) is judged as both: a
/// rule for either form counts, and it is public only if the address inside is. A NAT64 prefix of
/// the network's own (RFC 6052 section 2.2) cannot be known here; where there is one that leads to
/// private addresses it belongs into `deny`.
///
/// A policy never changes, so threads may share it, and a reload makes a new one.

#include "protocol/link/end_reason.hpp"
#include "server/config.hpp"
#include "server/own_addresses.hpp"

#include <boost/asio/ip/address.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace muxsocks::server {

class target_policy {
  public:
    /// `key` is where the rules stand in the configuration, for the texts of refusals:
    /// "destinations", or "users[3].destinations".
    /// `general_deny` holds besides, in front of all else: it is the `deny` of "destinations" where
    /// the rules are a user's.
    explicit target_policy(destination_settings rules, std::string key = "destinations",
                           std::vector<network> general_deny = {});

    /// Whether the address may be dialled at some port.
    [[nodiscard]] bool allows(const boost::asio::ip::address& address, own_addresses& own) const;

    /// Nothing if the target may be dialled. Else a sentence for the log that says what forbids it
    /// and which key would allow it. In this order:
    ///
    ///     deny            denied
    ///     ports           the port is not in the list, or is 25 where there is none: denied
    ///     allow           allowed, whatever it is
    ///     allow_private   private, loopback and own addresses: allowed
    ///     built in        what is not public: denied
    [[nodiscard]] std::optional<std::string> refusal(const boost::asio::ip::address& address,
                                                     std::uint16_t port, own_addresses& own) const;

    /// The same for a line that must not name the target: the range in which it lies, and the key
    /// that would allow it. Empty if the target may be dialled.
    [[nodiscard]] std::string range_refused(const boost::asio::ip::address& address,
                                            std::uint16_t port, own_addresses& own) const;

    /// By which rule a refused target is; meaningless for one that may be dialled.
    [[nodiscard]] denied_by rule_refused(const boost::asio::ip::address& address,
                                         std::uint16_t port, own_addresses& own) const;

  private:
    /// What forbids a target; `none` for one that is allowed.
    struct finding {
        enum class reason : std::uint8_t { none, denied, port, not_public, own };
        reason why = reason::none;
        /// The rule of `deny`.
        const network* rule = nullptr;
        /// Whether it is the general one.
        bool is_general = false;
        /// What kind of address it is.
        const char* kind = nullptr;
        /// The range that has it; null for what is no range.
        const network* range = nullptr;
        bool allow_private_lifts_it = false;
    };
    [[nodiscard]] finding judge(const boost::asio::ip::address& address, std::uint16_t port,
                                own_addresses& own) const;
    [[nodiscard]] bool is_port_listed(std::uint16_t port) const;
    [[nodiscard]] std::string sentence(const finding& found, const std::string& target,
                                       std::uint16_t port) const;
    [[nodiscard]] std::string permission(const finding& found) const;
    [[nodiscard]] std::string deny_key(const finding& found) const;

    destination_settings rules_;
    std::string key_;
    bool of_user_;
    std::vector<network> general_deny_;
};

} // namespace muxsocks::server
