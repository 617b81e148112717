#pragma once

/// \file
/// Keeps one session to one server on a link: dials, authenticates, and when the link is lost dials
/// again and resumes. It backs off with full jitter while the server does not answer, and makes
/// before it breaks when it has reason to doubt the link.
///
///     idle -- dial --> connecting -- TLS --> starting -- AUTH_OK --> up
///       ^                 |  |                  |                     | link lost
///       |   back-off <----+--+------------------+                     v
///       +-----------------------------------------------  detached (dials, JOIN) --> up

#include "client/link_recipe.hpp"
#include "protocol/link/happy_eyeballs.hpp"
#include "protocol/link/session_driver.hpp"

#include <random>

namespace muxsocks::client {

class link_supervisor final : private session_driver::delegate, private link::owner {
  public:
    class watcher {
      public:
        /// A session is up, resumed, or takes opens again: requests that wait can go.
        virtual void on_link_available(link_supervisor& from) = 0;
        /// The session takes no new streams (GOAWAY): another supervisor should take over.
        virtual void on_link_retiring(link_supervisor& from) = 0;
        /// The link or a dial failed.
        virtual void on_link_failed(link_supervisor& from) = 0;

      protected:
        ~watcher() = default;
    };

    link_supervisor(link_thread& thread, const dial_services& services,
                    std::shared_ptr<const link_recipe> recipe, const server_entry& server,
                    watcher& to);
    ~link_supervisor();

    /// Dials now, unless a dial is under way or the link is up.
    void start();
    /// A request waits: a pause before the next dial shrinks to U(0, 2 s).
    void hurry();
    /// The link may be dead: probes it and dials a second one beside it. A dial under way may be in
    /// vain (it began on the network that was) and is begun anew; a pause before one ends. After a
    /// resumption nothing has changed for the streams. `slept`: for how long the machine has.
    void suspect(const char* reason, std::chrono::nanoseconds slept);
    /// The network has changed: suspects the link if its route has, or dials if that may help now.
    void check_route();
    /// Looks for silence on a link that owes us acknowledgements, and gives up a session that has
    /// been without a link for too long. Call it about once a second.
    void check();
    /// Later dials use these settings; the link that is up stays.
    void set_recipe(std::shared_ptr<const link_recipe> recipe) { recipe_ = std::move(recipe); }
    void on_timeouts_changed() {
        if (driver_) driver_->on_timeouts_changed();
    }
    /// No new streams from here on; when the last has ended the session is closed.
    void retire();
    void close(close_code code, std::error_code why, std::string_view text);

    /// Whether a stream opened now goes out at once.
    bool available() const;
    /// Whether a session exists that takes streams when its link is back.
    bool detached() const;
    bool retired() const { return retired_; }
    /// Whether no stream is left and all that they sent has arrived.
    bool quiet() const;
    /// Whether it has nothing left to do, after retire().
    bool finished() const { return retired_ && quiet(); }
    /// Whether no dial has succeeded since the last failure.
    bool failing() const { return failures_ > 0; }
    std::size_t load() const;
    const driver_ptr& driver() const { return driver_; }
    const server_entry& server() const { return server_; }
    /// When the current session was set up.
    std::chrono::steady_clock::time_point since() const { return since_; }

  private:
    // session_driver::delegate
    void on_established(session_driver& from) override;
    void on_opened(session_driver& from, stream& opened) override;
    void on_goaway(session_driver& from) override;
    void on_detached(session_driver& from, std::error_code why, const std::string& text) override;
    void on_attached(session_driver&) override {}
    void on_joined(session_driver& from, link_number joined) override;
    void on_join_failed(session_driver& from, const join_fail_frame& failure,
                        link_ptr with) override;
    void on_join_lost(session_driver& from, std::error_code why, const std::string& text) override;
    void on_closed(session_driver& from, std::error_code why, const std::string& text) override;
    duration answer_delay(session_driver&, std::error_code) override { return {}; }
    // link::owner, until the link is up
    void on_link_up(link& from) override;
    std::size_t on_link_bytes(link&, bytes_view) override { return 0; }
    void on_link_writable(link&) override {}
    void on_link_down(link& from, std::error_code error, const std::string& text) override;

    void dial();
    void doubt(const char* reason);
    std::string describe_present_route() const;
    /// Whether the server has certainly given the session up, though the link stands.
    bool slept_too_long() const;
    /// Whether there was a dial to give up, from the name's look-up to the answer to JOIN.
    bool abandon_dial();
    void on_connected(std::error_code error, tcp_socket socket);
    void on_step_limit();
    void check_detached();
    /// `behind_join`: the link has carried a JOIN that failed.
    void begin_session(link_ptr on, bool behind_join = false);
    void on_dial_failed(const std::string& text);
    void schedule_dial();
    void give_up_session(std::error_code why, const std::string& text);
    void succeed();

    link_thread& thread_;
    dial_services services_;
    std::shared_ptr<const link_recipe> recipe_;
    server_entry server_;
    watcher& watcher_;
    std::string name_; ///< Of the server, for the log.
    driver_ptr driver_;
    std::shared_ptr<happy_eyeballs> dialing_;
    link_ptr connecting_;
    asio::ip::address peer_; ///< Of the last link that was dialled; unspecified before.
    std::string route_;      ///< To the peer; before there is one, the network (client/network).
    deadline pause_;
    deadline step_limit_; ///< For the TLS handshake, then for the answer to JOIN.
    std::minstd_rand random_{std::random_device{}()};
    std::chrono::milliseconds back_off_{250};
    std::chrono::steady_clock::time_point since_{};
    std::optional<std::chrono::steady_clock::time_point> detached_since_;
    std::chrono::steady_clock::time_point doubted_at_{}; ///< When the link was last doubted.
    std::chrono::nanoseconds slept_{0}; ///< By the machine, since the link was last heard.
    unsigned failures_ = 0;
    bool spoke_v2_ = false;
    bool retired_ = false;
};

} // namespace muxsocks::client
