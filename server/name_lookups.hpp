#pragma once

/// \file
/// Names that are looked up for a user without a dial behind it: those of datagrams, of RESOLVE and
/// RESOLVE_PTR. They share the places for look-ups with those of dials, and so users do.
///
/// One thread; the places are everybody's.

#include "protocol/link/dial/resolver.hpp"
#include "server/dial_places.hpp"
#include "server/user_account.hpp"

#include <map>

namespace muxsocks::server {

class name_lookups {
  public:
    using lookup_id = std::uint64_t;
    /// Called once or twice, never before look_up() has returned: as resolver::handler says; or
    /// with dial_errc::waited_too_long where no place became free in time.
    using handler = resolver::handler;

    /// All must outlive this. `timeout`: for one look-up, its waiting included.
    name_lookups(link_thread& thread, resolver& names, std::shared_ptr<dial_places> places,
                 std::chrono::milliseconds timeout);
    ~name_lookups();
    name_lookups(const name_lookups&) = delete;
    name_lookups& operator=(const name_lookups&) = delete;

    lookup_id look_up(std::string host, const user_account_ptr& user, handler done);
    /// The name of an address, in the same way.
    using name_handler = resolver::name_handler;
    lookup_id look_up_name(const asio::ip::address& address, const user_account_ptr& user,
                           name_handler done);
    /// The handler is destroyed and not called (again). The place is held until the look-up has
    /// really ended. No effect once the last call was made.
    void cancel(lookup_id id);

  private:
    struct operation;

    lookup_id enter(std::unique_ptr<operation> made, const user_account_ptr& user);
    void begin(operation& one);
    void on_time(lookup_id id);
    void end(lookup_id id);

    link_thread& thread_;
    resolver& names_;
    std::shared_ptr<dial_places> places_;
    std::chrono::milliseconds timeout_;
    std::map<lookup_id, std::unique_ptr<operation>> operations_;
    lookup_id last_ = 0;
    std::shared_ptr<name_lookups*> self_ = std::make_shared<name_lookups*>(this);
};

} // namespace muxsocks::server
