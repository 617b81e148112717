#pragma once

/// \file
/// When a client dials, doubts a link, backs off and gives up: what link_supervisor carries out.
/// Free of I/O and of the session: what happened and the time come in, orders go out.
///
///     dial:  idle --> connecting --TCP--> securing --TLS--> beginning (a new session) --+
///             ^ ^                                     \---> resuming ------------------+|
///             | |         fails, or takes too long                                     ||
///             | +- waiting <-------------------------------+                           ||
///             +--------------- the link is up <----------------------------------------++
///
///     link:  none --(a dial's)--> up --(stands still, or a reason from outside)--> doubted
///             ^                    ^                                                |
///             +---- lost ----------+---- moves again, or the dialled one takes over --+
///
/// A link is doubted for want of progress (link_watch), asked for a sign of life, and another one
/// is dialled beside it, which the session moves to if it gets that far before the old one moves.
/// The next one gets smaller segments (segment_limit) where large ones are what does not arrive. A
/// link that was replaced without any progress since lengthens the doubt and the back-off.

#include "client/link_watch.hpp"
#include "client/segment_limit.hpp"

#include <chrono>
#include <random>

namespace muxsocks::client {

class link_policy {
  public:
    enum class dial_state : std::uint8_t {
        idle,
        waiting, ///< Until the back-off is over.
        connecting,
        securing,  ///< TLS.
        beginning, ///< HELLO and AUTH, which have time-outs of their own.
        resuming,
    };
    enum class link_state : std::uint8_t { none, up, doubted };
    /// Of a dial: whether it may well succeed the next time, or somebody has to mend something.
    enum class failure : std::uint8_t { passing, lasting };

    struct orders {
        bool abandon = false;        ///< The dial that is under way, first of all.
        bool dial = false;           ///< Then begin one, with segments of segment_bytes() at most.
        bool probe = false;          ///< Ask the link for a sign of life.
        bool time_out = false;       ///< End the dial, and tell on_dial_failed().
        bool give_up = false;        ///< The session.
        const char* doubt = nullptr; ///< Why the link is doubted, if it is from now on.
    };

    static constexpr duration back_off_first = std::chrono::milliseconds(250);
    static constexpr duration back_off_max = std::chrono::seconds(30);
    /// For a lasting failure: each try costs the server something.
    static constexpr duration back_off_lasting = std::chrono::seconds(1);
    static constexpr duration hurried = std::chrono::seconds(2);
    static constexpr duration patience_first = std::chrono::seconds(5);
    /// Of a link that has taken over from one that stood still, and that does not move either.
    static constexpr duration patience_again = std::chrono::seconds(4);
    static constexpr duration patience_max = std::chrono::seconds(60);
    /// A link that has stood for so long was good.
    static constexpr duration standing = std::chrono::seconds(30);

    /// `seed` of the jitter.
    explicit link_policy(std::uint32_t seed) : random_(seed) {}

    /// For TLS, and again for JOIN; while bytes come, up to four times that.
    void set_handshake_limit(duration limit) { handshake_ = limit; }
    /// How long a session is kept that nothing comes through to.
    void set_session_limit(duration limit) { session_limit_ = limit; }
    /// Whether the session that is up can move to another link.
    void set_resumable(bool on) { resumable_ = on; }

    // ---- What the owner wants.

    /// A link, unless there is one or there will be.
    orders start(instant now);
    /// A request waits: a pause shrinks to U(0, 2 s), but not where each try is in vain.
    void hurry(instant now);
    /// The link may be dead, or the way of a dial that is under way may be.
    orders suspect(const char* why, instant now);
    /// What was found out about the path does not hold any more.
    void on_route_changed() { segments_.on_route_changed(); }
    /// No dial is wanted after all.
    void stop_dialling() { dial_ = dial_state::idle; }

    // ---- What becomes of a dial.

    void on_connected(instant now);
    /// TLS is up. With `abandon` the link is not needed: the old one moves again. Else the session
    /// is resumed on it, or begun.
    orders on_secured(bool resume, instant now);
    /// The session is up on the link that was dialled.
    void on_up(const progress_facts& at_first, instant now);
    /// `path`: of the link that was dialled, if it came that far.
    orders on_dial_failed(failure kind, const path_facts* path, instant now);
    /// What answered cannot resume the session, which has a link still.
    orders on_not_resumable(instant now);
    /// The session is gone; on the dialled link a new one begins.
    void on_beginning() {
        on_session_over();
        dial_ = dial_state::beginning;
    }

    /// The session was another process's; it waits for a link here.
    void on_taken_over(instant now) { useful_ = now; }

    // ---- What becomes of the link.

    /// `at_last`: its path as it was seen last, and what the session knows now.
    orders on_link_lost(const progress_facts& at_last, instant now);
    /// The link is gone, and the session goes on by another one that stands beside it.
    orders on_other_link(const progress_facts& at_first, instant now);
    /// The session is over, with its link.
    void on_session_over() {
        link_ = link_state::none;
        useful_.reset();
        lost_acked_.reset();
    }
    /// Call it about once a second, and on any news before they are told. `link`: none while the
    /// session has none; `dialled`: the one that is on its way up.
    orders look(const progress_facts* link, const path_facts* dialled, instant now);

    // ---- Time.

    std::optional<instant> deadline() const;
    orders on_deadline(instant now);

    // ---- Getters.

    dial_state dial() const { return dial_; }
    link_state link() const { return link_; }
    bool dialling() const { return dial_ != dial_state::idle && dial_ != dial_state::waiting; }
    /// Of the link, as it was seen last.
    const path_facts& path() const { return watch_.last().path; }
    std::uint32_t segment_bytes() const { return segments_.bytes(); }
    /// Failed dials in a row.
    unsigned failures() const { return failures_; }
    /// Whether requests wait in vain: no dial will succeed before somebody mends something.
    bool refuses() const { return lasting_ && link_ == link_state::none; }
    /// How many links in a row have come and gone with nothing coming through.
    unsigned fruitless() const { return fruitless_; }
    /// Once: the segments with which the link gets through a path that swallows larger ones.
    std::optional<std::uint32_t> take_hole() { return segments_.take_news(); }

  private:
    orders begin_dial(instant now);
    orders doubt(const char* why, link_watch::stall stall, instant now);
    orders judge(instant now);
    void note_progress(instant now);
    void learn(link_watch::stall kind, instant now);
    void learn_of_time_out(const path_facts* path, instant now);
    void lower_segments(std::uint32_t seen, instant now);
    void note_end(instant now);
    void wait(instant now);
    duration patience() const;
    bool trusts_again(instant now) const;
    bool hopeless(instant now) const;
    duration jitter(duration most);

    dial_state dial_ = dial_state::idle;
    link_state link_ = link_state::none;
    link_watch watch_;
    segment_limit segments_;
    std::minstd_rand random_;

    duration handshake_ = std::chrono::seconds(5);
    duration session_limit_ = duration::max();
    bool resumable_ = false;

    // The dial.
    instant dial_again_{};
    instant step_begun_{};
    instant step_limit_{};
    instant step_moved_{};
    path_facts step_path_;
    duration back_off_ = back_off_first;
    unsigned failures_ = 0;
    bool lasting_ = false;

    // The link, and those before it.
    instant doubted_{};
    link_watch::stall stall_ = link_watch::stall::none; ///< What it is doubted for, of the watch's.
    bool takes_over_ = false;     ///< Whether the link before stood still, and nothing came since.
    unsigned fruitless_ = 0;      ///< Links in a row, before this one, that nothing came through.
    unsigned patience_steps_ = 0; ///< Of those, how many when there was nothing left to try.
    std::optional<std::uint64_t> lost_acked_; ///< Frames acknowledged when the link was lost.
    std::optional<instant> useful_; ///< When the session last moved or had nothing to move.
};

} // namespace muxsocks::client
