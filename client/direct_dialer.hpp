#pragma once

/// \file
/// Requests for what `direct` names: dialled from this machine, without the server. Everything else
/// goes on to the links. It knows all connections that have come of it, so that they count where
/// the client drains, and end with a reset where it stops.

#include "client/direct_rules.hpp"
#include "client/pending_request.hpp"
#include "protocol/link/dial/happy_eyeballs.hpp"

#include <boost/intrusive/list.hpp>

#include <list>

namespace muxsocks::client {

struct config;

/// One connection with a target, and who serves it. It leaves the dialer's list with its end.
class direct_end : public movable,
                   public boost::intrusive::list_base_hook<
                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
  public:
    /// Resets both sides, at once.
    virtual void cut() = 0;
    virtual void on_timeouts_changed() = 0;

  protected:
    ~direct_end() = default;
};

class direct_dialer final : public request_sink {
  public:
    /// Both must outlive it. `otherwise`: who takes what goes by the server.
    direct_dialer(link_thread& thread, const dial_services& services, request_sink& otherwise);
    ~direct_dialer() { close(); }
    direct_dialer(const direct_dialer&) = delete;
    direct_dialer& operator=(const direct_dialer&) = delete;

    void submit(request_ptr request) override;
    const relay_timeouts& stream_timeouts() const override { return otherwise_.stream_timeouts(); }

    /// For requests from now on; timeouts for connections that there are, too.
    void use(const config& settings);
    void enlist(direct_end& one) { ends_.push_back(one); }
    link_thread& thread() { return thread_; }
    /// Takes no new ones; `idle()` once those that there are have ended.
    void drain() { draining_ = true; }
    bool idle() const { return dials_.empty() && ends_.empty(); }
    void close();
    std::size_t open() const { return ends_.size(); }

    // ---- A hand-over.

    /// The requests that are dialled for, and the connections.
    template <class Function>
    void for_each_movable(Function function) {
        for (const auto& each : dials_)
            function(*each.request);
        for (auto& each : ends_)
            function(each);
    }
    /// No dial is wanted any more.
    void forget_dials();

  private:
    struct dial {
        request_ptr request;
        std::shared_ptr<happy_eyeballs> connecting{};
        resolver::lookup_id lookup = 0;
    };
    using place = std::list<dial>::iterator;

    void connect(place at, const socks5::address& to);
    void look_up(place at, const socks5::address& to);
    void look_up_name(place at, const socks5::address& to);
    void on_connected(place at, std::error_code error, tcp_socket socket);
    void on_addresses(place at, std::error_code error, std::span<const asio::ip::address> found,
                      bool last);
    void refuse(const request_ptr& request, std::error_code error);
    /// Whether the connection would lead back to one of the client's own listeners.
    bool is_own(const tcp_socket& socket) const;
    request_ptr take(place at);
    void forget(place at);

    link_thread& thread_;
    dial_services services_;
    request_sink& otherwise_;
    std::vector<direct_rule> rules_;
    std::vector<host_port> listening_;
    std::chrono::milliseconds timeout_{};
    std::list<dial> dials_;
    boost::intrusive::list<direct_end, boost::intrusive::constant_time_size<false>> ends_;
    bool draining_ = false;
};

} // namespace muxsocks::client
