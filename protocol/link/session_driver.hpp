#pragma once

/// \file
/// Drives one session: feeds it what its link receives, passes its events to the owners of streams
/// and to a delegate, and writes its turns. It outlives links as its session does, and lives until
/// the last stream owner has let go.

#include "protocol/link/link.hpp"
#include "protocol/link/stream_owner.hpp"

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
        virtual void on_detached(session_driver& from, std::error_code why,
                                 const std::string& text) = 0;
        virtual void on_resumed(session_driver& from) = 0;
        /// The server does not resume: the session is to be given up, unless it has a link still.
        /// `with` can carry a new session, begun before this returns; else it is closed.
        virtual void on_resume_failed(session_driver& from, const resume_fail_frame& failure,
                                      link_ptr with) = 0;
        /// The link that was to resume the session is gone.
        virtual void on_resume_lost(session_driver& from, std::error_code why,
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

    /// What one session may do before others have their turn: frames taken, and sockets read. As
    /// many system calls, of some microseconds each.
    static constexpr std::size_t frames_a_turn = 256;
    static constexpr std::size_t reads_a_turn = 256;

    session_driver(link_thread& thread, session_settings settings, delegate& to);
    ~session_driver();

    /// The delegate goes before the driver does: nothing is told to anyone any more.
    void forget_delegate() { delegate_ = nullptr; }

    session& core() { return session_; }
    const session& core() const { return session_; }
    link_thread& thread() { return thread_; }
    link* current_link() { return link_.get(); }

    /// The session's first link; it is up.
    void start(link_ptr first);
    /// Bytes that came on the first or the resuming link before it was ours; returns what was
    /// taken.
    std::size_t feed(bytes_view bytes);

    /// Client: resumes on a link that is up. One at a time: a newer one replaces it.
    void resume_on(link_ptr next);
    bool resuming() const { return resuming_ != nullptr; }
    link* resuming_link() { return resuming_.get(); }
    /// Gives the link up that resume_on() got, without a word to the delegate.
    void stop_resuming();
    /// Server: a verified RESUME moves the session to this link; a failure leaves all as it is.
    std::optional<resume_fail_frame> resume(link_ptr next, const resume_frame& frame);

    /// Whether the peer has all that streams have sent, as far as can be known here: every counted
    /// frame acknowledged, and no byte in the link's output.
    bool all_delivered() const {
        return !session_.unacked_since() && (!link_ || link_->output_size() == 0);
    }

    stream& open(bytes_view request, stream_owner& owner);
    /// Something may have become sendable: a turn follows when the ready handlers have run.
    void wake();
    void consume(stream& s, std::size_t bytes);
    void close(close_code code, std::error_code why, std::string_view text);
    void go_away(close_code code, duration drain, std::string_view text);
    void probe();
    /// A place for a stream that has ended by RST and whose socket has not taken all yet: it counts
    /// as no stream any more, and a peer must not make us hold sockets without number.
    bool take_last_words() {
        return last_words_held_ < last_words_held_max && ++last_words_held_ > 0;
    }
    void give_last_words() { --last_words_held_; }
    /// Has the owner of each stream look at its time-outs again.
    void on_timeouts_changed();

  private:
    void on_link_up(link& from) override;
    std::size_t on_link_bytes(link& from, bytes_view bytes) override;
    void on_link_writable(link& from) override;
    void on_link_down(link& from, std::error_code error, const std::string& text) override;

    std::size_t most_stalled() const override { return session_.most_stalled(now()); }
    void shed_most_stalled() override;

    std::size_t on_resume_bytes(bytes_view bytes);
    void adopt(link_ptr next);
    /// The keying material that goes into the proofs: none without channel binding.
    std::vector<std::uint8_t> exporter_of(const link& on) const;
    void turn();
    void lay_turn(instant now);
    /// After anything happened: events, end of batch, a turn if one is wanted, the deadline.
    void settle();
    void dispatch();
    void on_session_closed(std::error_code why);
    void update_deadline();
    void tell_held(std::size_t held);
    /// Whether the link should be read: not while frames of it wait, or a version 1 stream is full.
    bool wants_input() const { return !session_.reading_paused() && !session_.frames_left(); }
    void take_frames_left();
    void on_deadline();
    /// Tells the session what its link's TCP knows of the peer.
    void look_at_path(instant now);
    static instant now() { return std::chrono::steady_clock::now(); }

    link_thread& thread_;
    delegate* delegate_;
    bool binds_; ///< Whether proofs are bound to the TLS channel.
    session session_;
    link_ptr link_;
    link_ptr resuming_;
    deadline deadline_;
    deadline last_words_;
    std::string down_text_;
    static constexpr unsigned last_words_held_max = 256;
    unsigned last_words_held_ = 0;
    std::size_t held_seen_ = 0;      ///< What the session held when the thread was last told.
    std::uint64_t acked_bytes_ = 0;  ///< By TCP, when the path was last looked at.
    std::uint64_t out_of_order_ = 0; ///< The same.
    std::size_t reads_left_ = 0;
    bool turn_posted_ = false;
    bool frames_posted_ = false;
    bool dispatching_ = false;
};

using driver_ptr = boost::intrusive_ptr<session_driver>;

} // namespace muxsocks
