#pragma once

/// \file
/// From the text of a host to its addresses, without ever blocking: addresses in any spelling, the
/// host table, localhost, and DNS with the system's servers or with given ones. A name is complete:
/// no other name is asked for, and its own addresses are found or none. (Only a short name may
/// stand for names under the system's search domains, if the options say so.)
///
/// DNS is asked for IPv6 and IPv4 at once, and the answers are passed on as RFC 8305 section 3
/// wants it: a server that never answers for one family holds nobody up. What the addresses are
/// good for (rules, the race of connections) is left to others.
///
/// One thread: the io_context's.

#include "protocol/link/dial/dns_client.hpp"
#include "protocol/link/dial/failed_names.hpp"
#include "protocol/link/dial/hosts_file.hpp"
#include "protocol/link/dial/resolv_conf.hpp"
#include "protocol/link/dial/resolve_error.hpp"
#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"
#include "protocol/link/loop/unique_function.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/udp.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace muxsocks {

struct resolver_options {
    /// DNS servers, for UDP and TCP. Empty: the system's; /etc/resolv.conf is read again when it
    /// has changed.
    std::vector<asio::ip::udp::endpoint> servers{};
    /// For one name, whatever it takes: both families, all servers, all search domains.
    std::chrono::milliseconds timeout{5000};
    /// The family whose addresses are passed on without waiting for the other's (RFC 8305
    /// section 3 means IPv6), and stand first.
    bool prefer_ipv4 = false;
    std::string hosts_path = "/etc/hosts";
    std::string resolv_conf_path = "/etc/resolv.conf";
    /// Whether a name without a dot is asked for under the system's search domains. Right for what
    /// the user of this machine has written; a name of somebody else's is complete.
    bool search_short_names = false;
    /// Whether a name that could not be looked up fails for some seconds more without being asked
    /// for. Right for names of others, who may repeat them; wrong for one that is wanted back
    /// soonest.
    bool remember_failures = false;
    /// Told how each lookup ended for which DNS was asked and that was not cancelled: no error if
    /// there were addresses, else one of resolve_errc. It must not touch the resolver.
    std::function<void(std::error_code error)> on_dns_result{};
};

class resolver {
  public:
    /// Called once or twice, through the executor. `addresses` are those that are new since the
    /// last call, valid only during the call, the preferred family first; after `last` there is no
    /// further call. An error comes with the last call, and only if there was no address at all:
    /// one of resolve_errc, or std::errc::not_enough_memory. The handler may destroy the resolver.
    using handler = unique_function<void(std::error_code error,
                                         std::span<const asio::ip::address> addresses, bool last)>;
    using lookup_id = std::uint64_t;
    /// Called once, through the executor. With an error there is no name.
    using name_handler = unique_function<void(std::error_code error, const std::string& name)>;

    /// How long the other family's answer is waited for when the preferred one's is late
    /// ("Resolution Delay", RFC 8305 section 8).
    static constexpr std::chrono::milliseconds resolution_delay{50};

    /// Throws std::runtime_error with one sentence if c-ares cannot be set up. `context` and
    /// `clock` must outlive the resolver.
    resolver(asio::io_context& context, deadlines& clock, resolver_options options);
    ~resolver();
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;

    /// Looks `host` up. Never blocks, never calls `done` before it returns.
    lookup_id resolve(std::string_view host, handler done);
    /// Asks DNS for the name of an address (RFC 1035 section 3.5). It proves nothing: whoever has
    /// the address may call it what they like.
    lookup_id resolve_name(const asio::ip::address& address, name_handler done);
    /// The lookup's handler is destroyed and will not be called (again). Queries that are under way
    /// still take their time. No effect once the last call was made.
    void cancel(lookup_id id);

    /// Questions to DNS that have not ended (two a name), those of cancelled lookups included.
    [[nodiscard]] std::size_t pending() const noexcept { return dns_->pending(); }

  private:
    struct lookup;
    struct name_lookup;
    enum class family : std::uint8_t { v6, v4 };

    /// A lookup that needs no DNS: its result is passed on in the next turn of the executor.
    void answer_later(lookup_id id, std::error_code error, std::vector<asio::ip::address> found);
    void ask_dns(const std::shared_ptr<lookup>& one);
    void ask_next_candidate(const std::shared_ptr<lookup>& one);
    void on_answer(const std::shared_ptr<lookup>& one, family from, std::error_code error,
                   std::vector<asio::ip::address> found);
    void on_resolution_delay(const std::shared_ptr<lookup>& one);
    void on_timeout(const std::shared_ptr<lookup>& one);
    /// The handler's last call; the lookup has left the table when it is made.
    void finish(const std::shared_ptr<lookup>& one, std::error_code error,
                std::span<const asio::ip::address> addresses);

    void on_name(lookup_id id, std::error_code error, const std::string& name);

    /// Reads /etc/resolv.conf if it has changed, and then asks other servers if it names others.
    void refresh_system_dns();

    asio::io_context& context_;
    deadlines& clock_;
    resolver_options options_;
    hosts_file hosts_;
    file_watch resolv_conf_watch_;
    resolv_conf system_;
    failed_names failed_;
    std::shared_ptr<dns_client> dns_;
    std::unordered_map<lookup_id, std::shared_ptr<lookup>> lookups_;
    std::unordered_map<lookup_id, std::shared_ptr<name_lookup>> name_lookups_;
    lookup_id last_id_ = 0;
    /// Null once this object is gone: handlers may be queued then.
    std::shared_ptr<resolver*> alive_;
};

} // namespace muxsocks
