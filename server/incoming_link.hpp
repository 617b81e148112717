#pragma once

/// \file
/// A connection that was accepted, up to the frame that says whose it is: PROXY header, TLS, then
/// HELLO (a new session), JOIN (a session that this or another thread owns), or a version 1
/// client's first frame. Each step has its limit.

#include "server/proxy_protocol.hpp"
#include "server/worker.hpp"

namespace muxsocks::server {

class incoming_link final : private link::owner {
  public:
    incoming_link(worker& at, tcp_socket socket, admission::ticket ticket,
                  boost::asio::ip::address peer);
    /// A link that another thread has taken apart, with a JOIN among its bytes.
    incoming_link(worker& at, link::parts parts, admission::ticket ticket,
                  boost::asio::ip::address peer);
    ~incoming_link();

    void begin();
    admission::link_id place() const { return ticket_.id(); }
    /// Its place was given to a newcomer.
    void give_way();

  private:
    void on_link_up(link& from) override;
    std::size_t on_link_bytes(link& from, bytes_view bytes) override;
    void on_link_writable(link&) override {}
    void on_link_down(link& from, std::error_code error, const std::string& text) override;

    void wait_proxy_header();
    void read_proxy_header();
    void on_proxy_header(const proxy_header& header);
    void begin_tls_after_pause();
    void wait_first_bytes();
    void begin_tls();
    std::size_t on_join(const join_frame& frame, bytes_view bytes, std::size_t size);
    /// Returns what it took of the bytes `behind` the JOIN.
    std::size_t fail_join(const join_fail_frame& failure, bytes_view behind);
    /// How many of the bytes are whole frames in front of a HELLO or a JOIN: they were for the
    /// session that the client did not get.
    std::size_t skip(bytes_view bytes);
    void end(const std::string& why);
    void close(const std::string& why);
    void leave();

    worker& worker_;
    std::optional<tcp_socket> socket_; ///< Before it is a link.
    link_ptr link_;
    link::parts parts_;
    admission::ticket ticket_;
    boost::asio::ip::address peer_;
    deadline limit_;
    std::vector<std::uint8_t> proxy_bytes_; ///< The PROXY header, as far as it has come.
    std::unique_ptr<deadline> pause_;       ///< Of an address that has failed before.
    bool v1_allowed_ = false;
    bool join_failed_ = false;
    std::size_t skipped_ = 0;
    bool health_check_ = false; ///< Of a load balancer.
    bool left_ = false;
};

} // namespace muxsocks::server
