#pragma once

/// \file
/// Drives one session: feeds it what its links receive, passes its events to the owners of streams
/// and to a delegate, and writes its turns, link by link. It outlives links as its session does,
/// and lives until the last stream owner has let go.

#include "protocol/link/link.hpp"
#include "protocol/link/link_steering.hpp"
#include "protocol/link/stream_owner.hpp"
#include "protocol/session/state.hpp"

namespace muxsocks {

class session_driver final : public ref_counted<session_driver>,
                             private link::owner,
                             private memory_holder {
  public:
    class delegate {
      public:
        virtual void on_established(session_driver& from) = 0;
        /// The peer opened the stream: give it a stream_owner as its context, or refuse it.
        virtual void on_opened(session_driver& from, stream& opened) = 0;
        virtual void on_goaway(session_driver& from) = 0;
        /// Client: the server tells why, about the stream (its context is the owner) or, without
        /// one, the session. As it came.
        virtual void on_notice(session_driver& from, const stream* about,
                               const notice_frame& told) = 0;
        /// No link is left.
        virtual void on_detached(session_driver& from, std::error_code why,
                                 const std::string& text) = 0;
        /// There is a link again.
        virtual void on_attached(session_driver& from) = 0;
        /// A link has ended, and the session goes on by others.
        virtual void on_link_gone(session_driver& from, link_number gone, std::error_code why,
                                  const std::string& text) = 0;
        /// Client: another link would help. Answer with on_dial() and, once, on_dial_ended().
        virtual void on_link_wanted(session_driver& from) = 0;
        /// Client: the link that join_on() got belongs to the session.
        virtual void on_joined(session_driver& from, link_number joined) = 0;
        /// The server does not let the link join: the session is to be given up, unless it has
        /// another one. `with` can carry a new session, begun before this returns; else it is
        /// closed.
        virtual void on_join_failed(session_driver& from, const join_fail_frame& failure,
                                    link_ptr with) = 0;
        /// The link that was to join is gone.
        virtual void on_join_lost(session_driver& from, std::error_code why,
                                  const std::string& text) = 0;
        /// The session is over; nothing else comes from it. `text` is a sentence for the log; what
        /// the peer said besides is in session::peer_text(), as it came.
        virtual void on_closed(session_driver& from, std::error_code why,
                               const std::string& text) = 0;
        /// How long the last words wait (failed authentications).
        virtual duration answer_delay(session_driver& from, std::error_code why) = 0;

      protected:
        ~delegate() = default;
    };

    session_driver(link_thread& thread, session_settings settings, delegate& to);
    ~session_driver();

    /// The delegate goes before the driver does: nothing is told to anyone any more.
    void forget_delegate() { delegate_ = nullptr; }

    session& core() { return session_; }
    const session& core() const { return session_; }
    link_thread& thread() { return thread_; }
    /// A number that no other driver of the process has: for who shows it.
    std::uint64_t serial() const { return serial_; }
    /// Adds to what the thread has counted what the session has since it told last, and returns it:
    /// the data path counts once only, and what is read in the thread never falls.
    session_totals tell_counted();
    /// What this session and its streams do is done within it. It has one of its own at first.
    round_share& share() { return *share_; }
    /// From here on it has this one, together with others.
    void share_with(share_ptr with);
    /// The newest link that belongs to the session; none while it is detached.
    link* current_link() const;

    /// The session's first link; it is up. `first`: what came on it before it was ours; returns
    /// what of it was taken.
    std::size_t start(link_ptr first, bytes_view received = {});

    /// Client: joins with a link that is up.
    link_number join_on(link_ptr next);
    bool joining() const { return joining_ != none; }
    link* joining_link() const;
    /// Gives the link up that joins, without a word to the delegate.
    void stop_joining();
    /// Ends the link in good order: the session goes on by others.
    void give_up(link_number number, std::error_code why);
    /// The link of that number; null if it is not the session's any more.
    const link* find_link(link_number number) const;
    /// Calls `function(number, const link&)` for each that belongs to the session.
    template <typename Function>
    void for_each_link(Function function) const {
        for (const auto& each : links_)
            if (each.number != joining_) function(each.number, *each.on);
    }
    /// What becomes of a dial that on_link_wanted() asked for.
    void on_dial() {
        if (steering_) steering_->choice().on_dial(now());
    }
    void on_dial_ended(link_demand::dial_end how);
    /// Who takes what; nothing while the session is to have one link.
    const link_roles* roles() const { return steering_ ? &steering_->choice().roles() : nullptr; }
    /// Server: a verified JOIN, with what came behind it, of which `used` was taken. A failure
    /// leaves all as it is. Without `room` a link with a right proof is to come later.
    std::optional<join_fail_frame> join(link_ptr next, const join_frame& frame, bytes_view behind,
                                        std::size_t& used, bool room = true);

    /// Whether the session could end now and the peer would miss nothing, as far as can be known
    /// here: all that was sent is acknowledged, and no byte waits in a link's output.
    bool all_delivered() const;

    // ---- A hand-over to another process, or from one.

    /// Whether save() may be called now.
    bool may_be_saved() const {
        return session_.may_be_saved() && !dispatching_ && !last_words_.is_set();
    }
    /// The session's state with what the streams' owners need, and the sockets that go along, in
    /// the order of the streams. Nothing changes; nothing may happen before on_handed_over(), or
    /// the hand-over has failed.
    session_state save(std::vector<int>& sockets);
    /// The session is another process's: links and sockets are let go of here.
    void on_handed_over();
    /// A driver that was made with settings_for() goes on from the state: no link is there yet.
    /// Returns the streams; once they have their owners, resume() follows.
    std::vector<stream*> restore(const session_state& from);
    void resume() { settle(); }

    stream& open(bytes_view request, stream_owner& owner);
    void consume(stream& s, std::size_t bytes);
    void close(close_code code, std::error_code why, std::string_view text);
    void go_away(close_code code, duration drain, std::string_view text, bool takes_late);
    void probe();
    /// Resets all streams, and tells their owners.
    void end_streams(reset_code code);
    /// What waits for its delay (delegate::answer_delay) goes out now.
    void hurry_last_words();
    /// A place for a stream that has ended by RST and whose socket has not taken all yet: it counts
    /// as no stream any more, and a peer must not make us hold sockets without number.
    bool take_last_words() {
        return last_words_held_ < last_words_held_max && ++last_words_held_ > 0;
    }
    void give_last_words() { --last_words_held_; }
    /// Has the owner of each stream look at its time-outs again.
    void on_timeouts_changed();

  private:
    static constexpr link_number none = link_roles::none;
    struct driven {
        link_number number;
        link_ptr on;
        std::uint64_t acked_bytes = 0;  ///< By TCP, when the path was last looked at.
        std::uint64_t out_of_order = 0; ///< The same.
        std::size_t kept_bytes = 0;     ///< Received, and not taken yet: the link keeps them.
    };

    void on_link_up(link&) override {}
    std::size_t on_link_bytes(link& from, bytes_view bytes) override;
    void on_link_writable(link& from) override;
    void on_link_down(link& from, std::error_code error, const std::string& text) override;

    stalled_memory most_stalled() const override;
    void shed_most_stalled() override;

    driven* find(const link& one);
    driven* find(link_number number);
    void take_in(link_ptr one, link_number number);
    /// Takes the link out; it is not the session's any more.
    link_ptr take_out(link_number number);
    /// The keying material that goes into the proofs: none without channel binding.
    std::vector<std::uint8_t> exporter_of(const link& on) const;
    session_settings with_wake(session_settings settings);
    /// A turn follows when the ready handlers have run.
    void wake();
    void turn();
    void turn(link_number number, link& on);
    void lay_turn(link_number number, link& on, instant at);
    /// Gives the session what it may take at a time; its frames_left() says whether more waits.
    std::size_t take(driven& from, bytes_view bytes);
    std::size_t held_by_links() const;
    /// What links have left of their frames, from the next round of the event loop on.
    void take_frames_left();
    void take_frames_until_over();
    bool frames_left(const driven& on) const;
    bool any_frames_left() const;
    instant begin_reads();
    /// Whether sockets may be read in this turn, or others are to have theirs.
    bool may_read() const;
    /// After anything happened: events, end of batch, a turn if one is wanted, the deadline.
    void settle();
    void dispatch();
    void end_datagrams();
    void on_event(const event& what);
    void on_link_over(const event& what);
    void on_session_closed(std::error_code why);
    void update_deadline();
    void tell_held(std::size_t held);
    void on_deadline();
    void on_small_message();
    void tell_gone(link_number number, std::error_code why, std::string text);
    bool worth_a_look() const;
    std::uint64_t moved() const {
        const auto& all = session_.statistics();
        return all.bytes_sent + all.bytes_received + all.datagram_bytes_sent +
               all.datagram_bytes_received;
    }
    void begin_steering();
    void steer_soon();
    void steer();
    /// Tells the session what the link's TCP knows of the peer.
    void look_at_path(driven& one, instant now);
    static instant now() { return std::chrono::steady_clock::now(); }

    link_thread& thread_;
    std::uint64_t serial_;
    share_ptr share_;
    delegate* delegate_;
    bool binds_; ///< Whether proofs are bound to the TLS channel.
    /// Client: how many links it opens; one more replaces another. Server: 0.
    unsigned links_max_;
    session session_;
    std::vector<driven> links_;
    link_number joining_ = none; ///< Client: the link that waits for the answer to JOIN.
    deadline deadline_;
    deadline last_words_;
    std::unique_ptr<link_steering> steering_; ///< Once the session may have several links.
    deadline look_;                           ///< Of the steering.
    bool look_soon_ = false;                  ///< Whether that is set for what moves now.
    std::uint64_t moved_at_look_ = 0;
    std::string down_text_;
    static constexpr unsigned last_words_held_max = 256;
    unsigned last_words_held_ = 0;
    instant detached_at_{};
    session_totals told_;
    std::size_t held_seen_ = 0; ///< What the session held when the thread was last told.
    std::size_t reads_ = 0;     ///< In this turn.
    instant reads_until_{};
    bool turn_posted_ = false;
    bool frames_posted_ = false;
    /// Who waits for on_datagrams_over(), while events are dispatched.
    std::vector<stream_owner*> with_datagrams_;
    bool dispatching_ = false;
};

using driver_ptr = boost::intrusive_ptr<session_driver>;

} // namespace muxsocks
