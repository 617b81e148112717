#pragma once

/// \file
/// SOCKS5's UDP ASSOCIATE (RFC 1928 sections 6 and 7): a UDP socket beside the application's
/// connection, and a stream whose datagrams those of the application become. It ends with that
/// connection, with its stream, or when it has carried nothing for `timeouts.udp_idle`; each end
/// ends all three.

#include "client/config.hpp"
#include "client/end_watch.hpp"
#include "client/pending_request.hpp"
#include "client/udp_gate.hpp"
#include "protocol/link/loop/outgoing_datagrams.hpp"
#include "protocol/program/descriptor_list.hpp"
#include "socks5/message.hpp"

namespace muxsocks::client {

/// The request while it waits for a session.
class associate_request final : public pending_request {
  public:
    associate_request(link_thread& thread, tcp_socket control, const socks5::address& hint,
                      std::shared_ptr<const udp_settings> settings);

    void begin(driver_ptr driver, request_sink& sink) override;
    void refuse(const refusal& why) override;
    void watch(std::function<void()> gone) override;
    bool save_connection(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_connection_gone() override;
    /// What save_connection() has written, behind its kind; null if it is none.
    /// The socket stays the caller's then.
    static request_ptr load(link_thread& thread, tcp_socket& control, bytes_view state,
                            std::shared_ptr<const udp_settings> settings);

  private:
    link_thread& thread_;
    tcp_socket control_;
    socks5::address hint_;
    std::shared_ptr<const udp_settings> settings_;
    end_watch end_watch_; ///< While it waits.
};

class udp_association final : public ref_counted<udp_association>, public stream_owner {
  public:
    udp_association(driver_ptr driver, tcp_socket control,
                    std::shared_ptr<const udp_settings> settings, const udp_gate& gate);
    /// The socket, at the control connection's own address. With an error nothing has happened.
    std::error_code bind(const asio::ip::address& local);
    /// The application's connection, where nothing has come of it.
    tcp_socket take_back() { return std::move(control_); }
    /// Opens the stream, and answers the application at once: its first datagrams follow the
    /// request in the same turn.
    void begin(const tcp_keepalive& keepalive);

    void on_stream_readable() override;
    void on_stream_reset(std::error_code why) override;
    read_result read_for_turn(const read_slot&) override { return {}; }
    void on_read_failed() override {}
    void on_parked() override {}
    datagram_result read_datagram(bytes_span place) override;
    bool on_datagram(bytes_view bytes) override;
    void on_datagrams_over() override;
    void save(std::vector<std::uint8_t>& state, std::vector<int>& sockets) override;
    void on_handed_over() override;
    /// For a stream whose owner was saved elsewhere; `state` is what is behind the kind. The
    /// sockets are touched only when the thread runs. False leaves them where they are.
    static bool resume(const driver_ptr& driver, stream& s, bytes_view state,
                       descriptor_list& sockets, std::shared_ptr<const udp_settings> settings,
                       const tcp_keepalive& keepalive);

  private:
    using time_point = std::chrono::steady_clock::time_point;

    template <class Fields>
    void each_field(Fields& fields);
    void go_on();
    /// BND: where the application is to send to.
    socks5::address bound() const;
    void wait_readable();
    void send_outgoing();
    void wait_control();
    void on_control();
    /// Reads the server's reply, as far as it has come. Whether the association goes on.
    bool take_reply(bytes_view bytes);
    void touch() { moved_ = std::chrono::steady_clock::now(); }
    void on_idle();
    void end(const char* why);
    void let_go();

    driver_ptr driver_;
    boost::intrusive_ptr<udp_association> kept_; ///< The stream's reference, until it goes.
    stream* stream_ = nullptr;
    tcp_socket control_;
    std::shared_ptr<const udp_settings> settings_;
    udp_gate gate_;
    datagram_socket socket_;
    deadline idle_;
    time_point moved_{};
    std::vector<std::uint8_t> reply_; ///< Of the server, until it is complete.
    bool replied_ = false;
    bool waiting_ = false;        ///< Whether the socket is waited for.
    outgoing_datagrams outgoing_; ///< Until on_datagrams_over().
    std::uint64_t up_ = 0;
    std::uint64_t down_ = 0;
    std::uint64_t refused_ = 0; ///< From elsewhere, with FRAG, or no datagrams of SOCKS at all.
    std::uint64_t too_old_ = 0;
};

} // namespace muxsocks::client
