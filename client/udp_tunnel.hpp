#pragma once

/// \file
/// UDP to one target by HTTP's Upgrade (RFC 9298, "connect-udp"): capsules on the application's
/// connection, datagrams of an association on the link. The application hears 101 when the server
/// has an address for the target that its rules allow, and a socket; only that address is heard.

#include "client/config.hpp"
#include "client/end_watch.hpp"
#include "client/name_question.hpp"
#include "client/pending_request.hpp"
#include "http/capsules.hpp"

#include <deque>

namespace muxsocks::client {

/// The request while it waits for a session.
class udp_tunnel_request final : public pending_request {
  public:
    /// `early` is what the application has sent behind its request.
    udp_tunnel_request(link_thread& thread, tcp_socket socket, socks5::address target,
                       std::string early, std::shared_ptr<const udp_settings> settings);

    void begin(driver_ptr driver, request_sink& sink) override;
    void refuse(const refusal& why) override;
    void watch(std::function<void()> gone) override;
    bool save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_connection_gone() override;
    /// What save_connection() has written, behind its kind; null if it is none.
    /// The socket stays the caller's then.
    static request_ptr load(link_thread& thread, tcp_socket& socket, bytes_view state,
                            std::shared_ptr<const udp_settings> settings);

  private:
    link_thread& thread_;
    tcp_socket socket_;
    socks5::address target_;
    std::string early_;
    std::shared_ptr<const udp_settings> settings_;
    end_watch end_watch_; ///< While it waits.
};

class udp_tunnel final : public ref_counted<udp_tunnel>, public stream_owner {
  public:
    udp_tunnel(driver_ptr driver, tcp_socket socket, std::string early,
               std::shared_ptr<const udp_settings> settings);
    /// Refuses the request if the session has no stream for it until then.
    void begin(const socks5::address& target, instant give_up, const tcp_keepalive& keepalive);

    void on_stream_readable() override;
    void on_stream_reset(std::error_code why) override;
    read_result read_for_turn(const read_slot&) override { return {}; }
    void on_read_failed() override {}
    void on_parked() override {}
    datagram_result read_datagram(bytes_span place) override;
    bool on_datagram(bytes_view bytes) override;
    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_handed_over() override;
    /// For a stream whose owner was saved elsewhere; `state` is what is behind the kind. The socket
    /// is touched only when the thread runs. False leaves it where it is.
    static bool resume(const driver_ptr& driver, stream& s, bytes_view state, int socket,
                       std::shared_ptr<const udp_settings> settings,
                       const tcp_keepalive& keepalive);

  private:
    using self_ptr = boost::intrusive_ptr<udp_tunnel>;
    using time_point = std::chrono::steady_clock::time_point;

    struct waiting_datagram {
        std::string bytes;
        time_point since;
    };

    template <class Fields>
    void each_field(Fields& fields);
    void go_on();
    void ask();
    void on_resolved(const socks5::reply& reply);
    void on_reply(const socks5::reply& reply);
    void open_if_ready();
    void wait_readable();
    void read();
    void take(std::string_view bytes);
    void wait_writable();
    void flush();
    void answer_with(const refusal& why);
    void fail(const refusal& why);
    void end(const char* why);
    void let_go();
    void touch() { moved_ = std::chrono::steady_clock::now(); }
    void on_wait_over();
    void on_idle();

    driver_ptr driver_;
    tcp_socket socket_;
    std::string early_;  ///< Behind the request, until the tunnel is open.
    std::string answer_; ///< Instead of 101.
    std::shared_ptr<const udp_settings> settings_;
    stream* stream_ = nullptr;
    self_ptr kept_; ///< The stream's reference.
    boost::intrusive_ptr<name_question> question_;
    std::vector<std::uint8_t> reply_;
    bool associated_ = false;
    bool open_ = false;
    socks5::address asked_for_;
    /// As it stands in front of datagrams; empty until it is known.
    std::vector<std::uint8_t> target_;
    http::capsule_reader capsules_;
    std::deque<waiting_datagram> up_;
    std::size_t up_bytes_ = 0;
    std::string down_; ///< What the socket has not taken of a capsule.
    instant give_up_{};
    deadline wait_; ///< For a stream.
    deadline idle_;
    time_point moved_{};
    bool waiting_read_ = false;
    bool waiting_write_ = false;
    bool paused_ = false; ///< Enough datagrams wait.
    std::uint64_t dropped_ = 0;
};

} // namespace muxsocks::client
