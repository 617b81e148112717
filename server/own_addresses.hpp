#pragma once

/// \file
/// The addresses of this machine's interfaces: behind a public one of them may be services that are
/// meant for this machine alone. An address that only a router translates to this machine cannot be
/// known here; where that matters it belongs into destinations.deny.

#include <boost/asio/ip/address.hpp>

#include <chrono>
#include <vector>

namespace muxsocks::server {

class own_addresses {
  public:
    /// How old the list may become. Interfaces change rarely, and reading them takes a dozen system
    /// calls.
    static constexpr std::chrono::seconds age_max{10};

    own_addresses() = default;
    /// A list that is never read from the system.
    explicit own_addresses(std::vector<boost::asio::ip::address> fixed);

    /// Whether an interface of this machine has the address. Never blocks.
    [[nodiscard]] bool contains(const boost::asio::ip::address& address);

  private:
    void read();

    std::vector<boost::asio::ip::address> sorted_;
    std::chrono::steady_clock::time_point valid_until_ =
        std::chrono::steady_clock::time_point::min();
};

} // namespace muxsocks::server
