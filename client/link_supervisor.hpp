#pragma once

/// \file
/// Keeps one session to one server on a link: carries out what link_policy orders, with sockets,
/// timers and the log, and tells it what becomes of that. The states are in link_policy.hpp. Beside
/// the link that the policy watches it opens others where the session says that they help
/// (extra_link.hpp); if the watched one ends, one of them takes its part.

#include "client/extra_link.hpp"
#include "client/link_policy.hpp"
#include "client/server_dial.hpp"
#include "protocol/link/session_driver.hpp"
#include "protocol/program/descriptor_list.hpp"

#include <functional>
#include <optional>

namespace muxsocks::client {

/// What of a session's state is its supervisor's.
struct handed_session {
    static constexpr std::uint8_t form = 1;
    std::string server;      ///< Its address, as to_string(host_port) writes it.
    std::uint32_t age_s = 0; ///< Since it was set up.
};
std::vector<std::uint8_t> encode(handed_session owner);
std::optional<handed_session> decode_handed_session(bytes_view bytes);

/// Makes the owner of a stream of a session that another process has handed over. False if its
/// state is none; the sockets stay in the list then.
using resume_owner = std::function<bool(const driver_ptr& driver, stream& s, bytes_view state,
                                        descriptor_list& sockets)>;

class link_supervisor final : private session_driver::delegate,
                              private link::owner,
                              private extra_link::watcher {
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
    /// Looks whether the link moves, and gives up a session that nothing has come through to for
    /// too long. Call it about once a second.
    void check();
    /// Later dials use these settings; the link that is up stays.
    void set_recipe(std::shared_ptr<const link_recipe> recipe) { recipe_ = std::move(recipe); }
    void on_timeouts_changed() {
        if (driver_) driver_->on_timeouts_changed();
    }
    /// No new streams from here on; when the last has ended the session is closed.
    void retire();
    /// It asks a server that stops whether it still does: not worth a line until say_up().
    void be_quiet() { quiet_ = true; }
    void say_up();
    void close(close_code code, std::error_code why, std::string_view text);

    // ---- A hand-over to another process, or from one.

    bool may_be_saved() const { return driver_ && driver_->may_be_saved(); }
    session_state save(std::vector<int>& sockets);
    /// The session is the other process's; there is nothing left to do here.
    void on_handed_over();
    /// Before start(), which dials for it.
    void take_over(const session_state& from, const handed_session& about, descriptor_list sockets,
                   const resume_owner& resume);

    /// Whether a stream opened now goes out at once.
    bool available() const;
    /// Whether one goes out at once, though the server stops.
    bool available_late() const;
    /// Whether a session exists that takes streams when its link is back.
    bool detached() const;
    bool retired() const { return retired_; }
    /// Whether no stream is left and all that they sent has arrived.
    bool quiet() const;
    /// Whether it has nothing left to do, after retire().
    bool finished() const { return retired_ && quiet(); }
    /// Whether no dial has succeeded since the last failure.
    bool failing() const { return policy_.failures() > 0; }
    /// Whether dials fail for a reason that does not pass by itself: requests wait in vain.
    bool refuses() const { return policy_.refuses(); }
    /// Why the last dial failed; empty while none has since a link was up.
    const std::string& failure() const { return failure_; }
    std::size_t load() const;
    const driver_ptr& driver() const { return driver_; }
    const server_entry& server() const { return server_; }
    /// The sentence with which the last dial failed; empty after one that did not.
    const std::string& last_failure() const { return last_failure_; }
    /// When the current session was set up.
    std::chrono::steady_clock::time_point since() const { return since_; }

  private:
    /// Links in a row that come up and that nothing comes through: from so many on it is said once.
    static constexpr unsigned fruitless_news = 3;

    // session_driver::delegate
    void on_established(session_driver& from) override;
    void on_opened(session_driver& from, stream& opened) override;
    void on_goaway(session_driver& from) override;
    void on_detached(session_driver& from, std::error_code why, const std::string& text) override;
    void on_attached(session_driver&) override {}
    void on_notice(session_driver&, const stream* about, const notice_frame& told) override;
    void on_link_gone(session_driver& from, link_number gone, std::error_code why,
                      const std::string& text) override;
    void on_link_wanted(session_driver& from) override;
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

    // extra_link::watcher
    void on_extra_secured(link_ptr up) override;
    void on_extra_failed(const std::string& text, bool joining) override;

    void carry_out(const link_policy::orders& given);
    void dial();
    void say_doubt(const char* why) const;
    void say_news();
    std::string describe_present_route() const;
    /// Whether the server has certainly given the session up, though the link stands.
    bool slept_too_long() const;
    void abandon_dial();
    void abandon_extra();
    void end_extra(link_demand::dial_end how);
    void dial_extra();
    void give_up_stale(std::optional<link_number> replaced);
    std::size_t links() const;
    /// Where a link is dialled that is to join: where the server says, and by turns, when that
    /// fails, at its own address.
    host_port address_to_dial() const;
    void on_connected(const dial_failure& failure, tcp_socket socket);
    void time_out_step();
    /// `behind_join`: the link has carried a JOIN that failed.
    void begin_session(link_ptr on, bool behind_join = false);
    void on_dial_failed(std::error_code why, const std::string& text);
    void say_failure(const std::string& text, bool lasting);
    void on_up();
    /// The session and the link that carries it, or did until just now.
    progress_facts facts() const;
    std::optional<path_facts> dialled_path() const;
    std::chrono::milliseconds session_limit() const;
    void give_up_session(std::error_code why, const std::string& text);

    link_thread& thread_;
    dial_services services_;
    std::shared_ptr<const link_recipe> recipe_;
    server_entry server_;
    watcher& watcher_;
    std::string name_; ///< Of the server, for the log.
    driver_ptr driver_;
    server_dial_ptr dialing_;
    link_ptr connecting_;
    link_number watched_ = 0; ///< The link that the policy knows.
    extra_link extra_;
    bool avoid_join_at_ = false;         ///< Whether the last dial there failed.
    bool dialled_join_at_ = false;       ///< Whether the last dial went there.
    bool extra_dialled_join_at_ = false; ///< The same of the extra link.
    std::chrono::steady_clock::time_point dial_begun_{};
    asio::ip::address peer_; ///< Of the last link that was dialled; unspecified before.
    std::string route_;      ///< To the peer; before there is one, the network (client/network).
    link_policy policy_;
    deadline clock_; ///< Of the policy.
    std::string failure_;
    std::string last_failure_; ///< If it does not pass by itself.
    std::chrono::steady_clock::time_point since_{};
    std::chrono::steady_clock::time_point doubted_at_{}; ///< For a reason from outside.
    std::chrono::nanoseconds slept_{0}; ///< By the machine, since the link was last heard.
    bool spoke_v2_ = false;
    bool retired_ = false;
    bool quiet_ = false;
    std::string up_text_; ///< For the log, until it was said.
};

} // namespace muxsocks::client
