#pragma once

/// \file
/// With whom one UDP association may exchange datagrams: the destination rules, the ports that UDP
/// has none of, and with `udp.filter` "contacted" whom it has sent to. It remembers verdicts, since
/// datagrams come by the thousand and the rules are many.

#include "protocol/byte_order.hpp"
#include "server/config.hpp"
#include "server/own_addresses.hpp"
#include "server/target_policy.hpp"

#include <boost/asio/ip/udp.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <set>

namespace muxsocks::server {

class udp_rules {
  public:
    using endpoint = boost::asio::ip::udp::endpoint;
    using time_point = std::chrono::steady_clock::time_point;

    /// Of verdicts; the address of an interface may come and go.
    static constexpr std::chrono::seconds age_max{10};
    /// Addresses that are remembered for having been sent to; beyond them the lowest are forgotten.
    static constexpr std::size_t contacted_max = 512;

    /// `own` must outlive this.
    udp_rules(std::shared_ptr<const target_policy> policy, const udp_settings& settings,
              own_addresses& own);

    /// Whether a datagram may go to `to`, which is an IPv4 address or no mapped one.
    bool may_send(const endpoint& to, time_point now);
    /// One went out.
    void on_sent(const endpoint& to);
    /// To whom they went, for another process: addresses of 16 bytes, IPv4 mapped.
    [[nodiscard]] std::vector<std::uint8_t> contacted() const;
    void set_contacted(bytes_view all);
    /// Whether one that came from `from` may be passed on.
    bool may_receive(const endpoint& from, time_point now);

  private:
    struct verdict {
        endpoint of;
        time_point judged = time_point::min();
        bool allowed = false;
    };
    static constexpr std::size_t verdicts_kept = 256;

    bool allowed(const endpoint& other, time_point now);
    bool judge(const endpoint& other);

    std::shared_ptr<const target_policy> policy_;
    std::vector<port_range> deny_ports_;
    udp_filter filter_;
    own_addresses& own_;
    std::unique_ptr<std::array<verdict, verdicts_kept>> verdicts_;
    std::set<boost::asio::ip::address> contacted_;
};

} // namespace muxsocks::server
