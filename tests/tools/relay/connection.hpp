#pragma once

/// \file
/// One relayed connection: the client's socket, the socket towards the server, a flow in each
/// direction, and the rules by which the end of one side becomes the end of the other. It keeps
/// itself alive through its handlers; the relay keeps it for commands until it reports its end.

#include "tests/tools/relay/flow.hpp"

#include <functional>
#include <memory>

namespace muxsocks::tools {

class connection : public std::enable_shared_from_this<connection>, private flow::listener {
  public:
    using on_end = std::function<void(connection&)>;

    connection(context& shared, std::uint64_t id, tcp_socket client, on_end ended);
    ~connection() override;

    /// Dials the target and carries bytes from then on. The first byte passes one round trip after
    /// this call: that is what TCP's own handshake would have taken.
    void start();

    void cut(cut_style style, cut_side side);
    void cut_in(direction way, std::uint64_t bytes, cut_style style);
    void swallow(direction way);

    /// To be called after the settings have changed.
    void run();

    std::uint64_t id() const { return id_; }
    std::uint64_t held_bytes() const { return up_.held_bytes() + down_.held_bytes(); }

  private:
    void on_finished(direction way) override;
    void on_reset(direction way) override;
    void on_destination_lost(direction way) override;
    void on_cut_due(direction way, cut_style style) override;

    flow& operator[](direction way) { return way == direction::up ? up_ : down_; }
    tcp_socket& source_of(direction way) { return way == direction::up ? client_ : server_; }
    void dial();
    bool bind_source();
    void carry();
    void prepare(tcp_socket& socket) const;
    void watch_for_reset(direction way);
    void abort(tcp_socket& socket);
    void end();

    context& shared_;
    std::uint64_t id_;
    tcp_socket client_;
    tcp_socket server_;
    flow up_;
    flow down_;
    steady_timer handshake_;
    on_end ended_;
    bool carrying_ = false;
    bool closed_ = false;
};

} // namespace muxsocks::tools
