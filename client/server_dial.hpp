#pragma once

/// \file
/// A connection with the server for a link: dialled, and where `via` names a proxy, through that.

#include "client/link_recipe.hpp"
#include "client/via_handshake.hpp"

namespace muxsocks::client {

/// Connected with a proxy: has it connect to the server. Tells once; nothing after cancel().
class via_connection : public ref_counted<via_connection> {
  public:
    using handler = unique_function<void(const dial_failure& failure, tcp_socket socket)>;

    via_connection(deadlines& clock, tcp_socket socket, const via_proxy& by, const host_port& to,
                   std::chrono::milliseconds limit, handler done);
    void begin();
    void cancel();

  private:
    void wait();
    void read();
    void end(const dial_failure& failure);

    tcp_socket socket_;
    via_handshake handshake_;
    std::chrono::milliseconds allowed_;
    handler done_; ///< Empty once it is over.
    deadline limit_;
};

class server_dial : public ref_counted<server_dial> {
  public:
    using handler = via_connection::handler;

    explicit server_dial(handler done) : done_(std::move(done)) {}
    /// `server` says through what, `at` where.
    void begin(const dial_services& services, const std::shared_ptr<const link_recipe>& recipe,
               const server_entry& server, const host_port& at, std::uint32_t segment_bytes);
    void cancel();

  private:
    void on_connected(deadlines& clock, const via_proxy& by, const host_port& to,
                      std::chrono::milliseconds limit, std::error_code error, tcp_socket socket);
    void end(const dial_failure& failure, tcp_socket socket);

    handler done_;
    std::shared_ptr<happy_eyeballs> connecting_;
    boost::intrusive_ptr<via_connection> passing_;
};

/// Why the first hop could not be connected to.
dial_failure why_not_connected(const std::optional<via_proxy>& via, std::error_code error);

using server_dial_ptr = boost::intrusive_ptr<server_dial>;

/// `done` is called once, unless cancel() comes first.
server_dial_ptr dial_server(const dial_services& services,
                            const std::shared_ptr<const link_recipe>& recipe,
                            const server_entry& server, const host_port& at,
                            std::uint32_t segment_bytes, server_dial::handler done);

} // namespace muxsocks::client
