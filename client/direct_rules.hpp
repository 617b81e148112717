#pragma once

/// \file
/// Destinations that the client dials itself (`direct`), by what the application has written: a
/// name by its text, an address by its network. Nothing is looked up for the decision, so that it
/// tells no name server anything, and a name never gets around the server because of what it
/// resolves to.

#include "protocol/program/network.hpp"
#include "protocol/program/value_kinds.hpp"
#include "socks5/address.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::client {

struct direct_rule {
    enum class kind : std::uint8_t {
        name,  ///< This one alone: "printer.example.org".
        below, ///< This one and all below it: "*.example.org".
        block, ///< Addresses: "10.0.0.0/8", "2001:db8::1".
        any,   ///< Everything, at some ports: "*:22".
    };

    kind what = kind::any;
    std::string name{}; ///< In lower case, without a final dot.
    network block{};
    std::optional<port_range> ports{}; ///< None: all.

    bool operator==(const direct_rule&) const = default;
};

/// "10.0.0.0/8", "*.lan", "host:22", "[2001:db8::/32]:8000-8999", "*:22".
[[nodiscard]] std::optional<direct_rule> parse_direct_rule(std::string_view text);
[[nodiscard]] std::string to_string(const direct_rule& rule);
[[nodiscard]] value_kind<direct_rule> direct_rule_kind();

/// Whether one of the rules names this destination.
[[nodiscard]] bool goes_direct(const std::vector<direct_rule>& rules, const socks5::address& to);

/// Statements of FindProxyForURL(url, host) that return "DIRECT" for what the rules name and a
/// script can tell without a look-up; the client sees to the rest.
[[nodiscard]] std::string pac_statements(const std::vector<direct_rule>& rules);
/// Words for no_proxy, each with a comma in front: those rules that it can express without naming
/// more.
[[nodiscard]] std::string no_proxy_words(const std::vector<direct_rule>& rules);

} // namespace muxsocks::client
