#pragma once

/// \file
/// The status listener: metrics, health, JSON and a page over HTTP (docs/STATUS.md). It lives in
/// the first thread, reads only snapshots, and changes nothing but what `kick` asks for, over a
/// unix socket, for a process of the same user. Over TCP only GET and HEAD are answered, for hosts
/// that are addresses, "localhost" or configured (so that no other site's page gets here by a name
/// of its own), and with the token where there is one.

#include "protocol/link/loop/asio.hpp"
#include "protocol/link/loop/deadlines.hpp"
#include "protocol/program/metrics.hpp"
#include "protocol/program/snapshot.hpp"
#include "protocol/program/status_settings.hpp"

#include <functional>
#include <memory>
#include <string>

namespace muxsocks {

/// Whom the listener asks. All in its thread.
class status_source {
  public:
    virtual void show(const snapshot_request& request, std::function<void(snapshot)> then) = 0;
    [[nodiscard]] virtual process_facts facts() const = 0;
    /// Ends all sessions of the user; `then` gets their number.
    virtual void kick(const std::string& user, std::function<void(std::size_t)> then) = 0;
    /// Calls `then` with what `make` has made, which may be in another thread: a long text must not
    /// hold up this one.
    virtual void write(std::function<std::string()> make, std::function<void(std::string)> then) {
        then(make());
    }

  protected:
    ~status_source() = default;
};

class status_server {
  public:
    status_server(asio::io_context& context, deadlines& clock, status_source& source);
    ~status_server();
    status_server(const status_server&) = delete;
    status_server& operator=(const status_server&) = delete;

    /// Listens where the settings say. Throws std::runtime_error with a sentence if it cannot where
    /// it was told to; where the default socket is another process's it does without, with a
    /// warning.
    void open(const status_settings& settings);
    /// The same at a hand-over, where the process before may have the sockets for a moment yet: it
    /// is tried for some seconds, and what cannot be bound then is said in the log.
    void open_when_free(const status_settings& settings);
    /// The same for a reload: what cannot be bound is said in the log.
    void move_to(const status_settings& settings);
    /// Ends all connections, and takes the sockets' files away.
    void close();

  private:
    class state;
    std::unique_ptr<state> state_;
};

} // namespace muxsocks
