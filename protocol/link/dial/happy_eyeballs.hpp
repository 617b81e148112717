#pragma once

/// \file
/// Connecting to a host by the fastest of its addresses (RFC 8305, "Happy Eyeballs version 2"):
/// addresses are dialled one after the other, the families by turns, each a little later than the
/// one before or at once when that one has failed; the first connection wins and the rest are
/// closed. Addresses that the name's resolution brings while the race is on join it.
///
/// A dial to one address costs one socket and no timer of its own. What it is for (a link, a
/// target), which addresses are permitted and how many dials there may be is left to the classes
/// derived from it. One thread: the io_context's.

#include "protocol/link/dial/connect_error.hpp"
#include "protocol/link/dial/resolver.hpp"
#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"
#include "protocol/link/loop/unique_function.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

namespace muxsocks {

/// What all dials of one thread share; each part must outlive the dials that have not ended.
struct dial_services {
    asio::io_context& context;
    deadlines& clock;
    resolver& names;
    /// "Connection Attempt Delay" (RFC 8305 section 8).
    std::chrono::milliseconds attempt_delay{250};
    /// The family that is dialled first; as in the resolver's options.
    bool prefer_ipv4 = false;
};

/// One race; make it with std::make_shared, start it once. It keeps itself alive until it has
/// ended.
///
///     start -- addresses come, attempts begin, attempts fail --> on_connected or on_failed, once
///       |                                                              |
///       +-- cancel() -----------------------------------------------> decided
///                                                                      |
///                         no lookup is under way (a query of c-ares cannot be taken back)
///                                                                      |
///                                                                  on_ended, once
class happy_eyeballs : public std::enable_shared_from_this<happy_eyeballs> {
  public:
    /// Addresses of one name and family beyond this number are not dialled: a name may have any
    /// number of them, and each may cost a socket for as long as the dial takes.
    static constexpr std::size_t addresses_max = 8;

    explicit happy_eyeballs(const dial_services& services);
    virtual ~happy_eyeballs();
    happy_eyeballs(const happy_eyeballs&) = delete;
    happy_eyeballs& operator=(const happy_eyeballs&) = delete;

    /// Dials one address: the fast path, without resolver and without memory beyond this object.
    void start(const asio::ip::tcp::endpoint& target);
    /// Looks `host` up and dials what is found; an address in any spelling is dialled at once.
    void start(std::string_view host, std::uint16_t port);
    /// When to give up. May be set before the start, and then expires in its own right.
    void expires_at(deadline::clock::time_point when) { deadline_.expires_at(when); }
    /// Closes all sockets; neither on_connected nor on_failed will be called. Safe at any time, but
    /// for the constructor and destructor.
    virtual void cancel();

  protected:
    /// Whether a lookup is under way, that of a decided race included.
    [[nodiscard]] bool is_looking_up() const noexcept { return looking_up_; }

    /// Called for every address before it is dialled. An error keeps it from being dialled, and is
    /// the result if no address is left.
    virtual std::error_code admit(const asio::ip::address&) { return {}; }
    /// Called once, before the first attempt on what a name has resolved to. If it is false,
    /// attempts begin with proceed().
    virtual bool may_begin() { return true; }
    /// Begins the attempts that may_begin() has put off.
    void proceed();
    /// The lookup has ended, of a decided race too.
    virtual void on_lookup_ended() {}
    /// Called with each new socket, to set options. Errors are the caller's to ignore.
    virtual void before_connect(int /*descriptor*/) {}
    /// `socket` is connected to `peer`. Its descriptor is non-blocking already (O_NONBLOCK), so
    /// that send() and recv() may be used on it beside Asio's operations.
    virtual void on_connected(tcp_socket&& socket, const asio::ip::tcp::endpoint& peer) = 0;
    /// All addresses failed, or there are none, or the time was up. `error` is the most telling
    /// one:
    ///
    ///     refused (somebody answered), other answers of the target, no route to the host (by ICMP
    ///     or ARP), this machine's own lack (EMFILE, ENOBUFS), time-out, what admit() said, this
    ///     machine's lack of a route or address family, the resolver's error
    ///
    /// in this order; of several that are alike the first. What connect() said is in the system
    /// category, the rest one of connect_errc and resolve_errc.
    virtual void on_failed(std::error_code error) = 0;
    /// Decided, with no socket and no lookup under way any more. Called at most once, by cancel()
    /// or through the executor; not if the services are gone before the lookup has ended.
    virtual void on_ended() {}

  private:
    struct attempt {
        tcp_socket socket;
        asio::ip::tcp::endpoint peer;
    };

    void on_addresses(std::error_code error, std::span<const asio::ip::address> found, bool last);
    /// Puts the address on the list of those to be dialled, if it is permitted.
    void add(const asio::ip::address& address);
    /// Begins attempts until one is under way; fails if none is and none can follow.
    void next_attempt();
    [[nodiscard]] bool has_waiting() const { return !waiting_v4_.empty() || !waiting_v6_.empty(); }
    asio::ip::tcp::endpoint take_waiting();
    /// Whether the attempt is under way; the error has been noted if not.
    bool begin_attempt(const asio::ip::tcp::endpoint& peer);
    void wait_for(attempt& one);
    void on_attempt(attempt& one);
    void drop(const attempt& one);
    void note_failure(std::error_code error, int rank);
    void on_deadline();
    void fail();
    /// From now on nothing is decided any more, and what is still under way is closed.
    void settle();
    void end_if_done();
    /// For start(): a race that is lost already is decided in the executor's next turn.
    void fail_later_if_lost();

    dial_services services_;
    deadline deadline_;
    deadline attempt_delay_;
    std::uint16_t port_ = 0;
    /// Whether attempts may begin; asked for when there is something to be dialled.
    enum class permission : std::uint8_t { not_asked, put_off, given };
    permission permission_ = permission::not_asked;
    /// Whether start() is on the stack: then nothing may be decided.
    bool starting_ = false;
    bool looking_up_ = false;
    bool decided_ = false;
    bool ended_ = false;
    /// Whether it is IPv4's turn.
    bool v4_next_;
    /// Attempts under way.
    std::size_t running_ = 0;
    /// Addresses that were taken on, by family.
    std::size_t added_v4_ = 0;
    std::size_t added_v6_ = 0;
    std::error_code error_;
    int error_rank_ = -1;
    /// Addresses not dialled yet, by family, each in the resolver's order.
    std::vector<asio::ip::address> waiting_v4_;
    std::vector<asio::ip::address> waiting_v6_;
    /// The first attempt in place, the others, which most dials never have, in a list.
    std::optional<attempt> first_;
    std::list<attempt> others_;
};

/// A race whose result goes to a handler: what a client's dial needs.
using connect_handler = unique_function<void(std::error_code, tcp_socket)>;

struct connect_options {
    std::chrono::milliseconds timeout{10'000};
    /// May be empty. Called with each new socket.
    unique_function<void(int descriptor)> before_connect{};
};

/// Connects to `host`, a name or an address. `done` is called once through the executor, with an
/// unconnected socket if there is an error, unless the result's cancel() comes first, which
/// destroys it. The result may be dropped.
std::shared_ptr<happy_eyeballs> connect_to_host(const dial_services& services,
                                                std::string_view host, std::uint16_t port,
                                                connect_options options, connect_handler done);

} // namespace muxsocks
