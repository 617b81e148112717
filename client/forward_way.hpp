#pragma once

/// \file
/// The way of forwarded requests to one server: a stream, or a connection of the client's own. What
/// happens on it is told to a stream_owner, whichever it is: forward_connection.

#include "protocol/link/session_driver.hpp"

namespace muxsocks::client {

class direct_dialer;
class request_sink;
class session_way;

class forward_way : public ref_counted<forward_way> {
  public:
    virtual ~forward_way() = default;

    // What has come, as of a stream (session::peek, consume, stream::at_end).
    virtual std::size_t peek(std::span<bytes_view> views) = 0;
    virtual void consume(std::size_t bytes) = 0;
    virtual std::size_t unread() const = 0;
    virtual bool at_end() const = 0;

    virtual void write(bytes_view bytes) = 0;
    /// The application's socket has bytes: read_for_turn() when they can go.
    virtual void on_readable() = 0;
    /// Whether nothing is read for a while.
    virtual bool stalled() const = 0;

    /// Whether the server's SOCKS reply stands in front of everything.
    virtual bool has_reply() const = 0;
    /// Whether a session has taken it up.
    virtual bool opened() const = 0;
    /// Null for a connection of the client's own.
    virtual session_way* session() { return nullptr; }

    /// It has ended by a reset. Whether what came before may still be passed on for a while.
    virtual bool take_last_words() = 0;
    /// Nothing more is told. `words`: whether last words were taken.
    virtual void let_go(bool words) = 0;
    /// From here on both directions are whatever the two have agreed on; `early` goes first.
    virtual void become_tunnel(tcp_socket application, bytes_view early) = 0;

    // ---- A hand-over of the connection; a stream goes with its session.

    /// Adds what it needs in the other process. Returns its socket, or -1 if it stays here.
    virtual int save(std::vector<std::uint8_t>&) { return -1; }
    /// It has gone: nothing more is told.
    virtual void on_moved() {}
};

using forward_way_ptr = boost::intrusive_ptr<forward_way>;

class session_way final : public forward_way {
  public:
    session_way(driver_ptr driver, stream& s, request_sink& sink)
        : driver_(std::move(driver)), stream_(&s), sink_(sink) {}

    session_driver& driver() { return *driver_; }

    std::size_t peek(std::span<bytes_view> views) override;
    void consume(std::size_t bytes) override { driver_->consume(*stream_, bytes); }
    std::size_t unread() const override { return stream_->unread_bytes(); }
    bool at_end() const override { return stream_->at_end(); }
    void write(bytes_view bytes) override { driver_->core().write(*stream_, bytes); }
    void on_readable() override { driver_->core().on_readable(*stream_); }
    bool stalled() const override;
    bool has_reply() const override { return true; }
    bool opened() const override { return stream_->opened(); }
    session_way* session() override { return this; }
    void on_connected() { driver_->core().on_connected(*stream_); }
    bool take_last_words() override;
    void let_go(bool words) override;
    void become_tunnel(tcp_socket application, bytes_view early) override;

  private:
    driver_ptr driver_;
    stream* stream_;
    request_sink& sink_;
};

/// On a connection that is there. `owner` is to outlive the way until let_go() or become_tunnel().
forward_way_ptr make_direct_way(direct_dialer& by, tcp_socket target, std::string destination,
                                stream_owner& owner);
/// One that another process has saved; null for a state that is none.
forward_way_ptr resume_direct_way(direct_dialer& by, tcp_socket target, bytes_view state,
                                  stream_owner& owner);

} // namespace muxsocks::client
