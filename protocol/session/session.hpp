#pragma once

/// \file
/// A session: many streams over any number of links, which it may outlive. Free of I/O: bytes and
/// the time come in as arguments, bytes and events go out. Single-threaded.
///
/// One turn of its driver is always: what happened (on_...), then next_event() until there is none,
/// end_batch(), next_event() again, then turns of output for each link while wants_turn(), then
/// deadline(). session_settings::wake says when, so that no caller of open(), write() or consume()
/// has to.
///
///     stream_ids, stream_set     streams and their ids      link_set        who takes what
///     received_batch             what came in one batch     link_state      what one link carried
///     stream_memory              what is held unread        resend_queue    what lost links had
///     handshake, session_proofs  how it began               turn            what goes out now
///     version_one                the base protocol          attached_clock  time with a link
///     pacing                     rates of its user

#include "protocol/copy_budget.hpp"
#include "protocol/session/attached_clock.hpp"
#include "protocol/session/bulk_watch.hpp"
#include "protocol/session/datagrams.hpp"
#include "protocol/session/handshake.hpp"
#include "protocol/session/link_set.hpp"
#include "protocol/session/pacing.hpp"
#include "protocol/session/read_slot.hpp"
#include "protocol/session/received_batch.hpp"
#include "protocol/session/resend_queue.hpp"
#include "protocol/session/statistics.hpp"
#include "protocol/session/stream_ids.hpp"
#include "protocol/session/stream_memory.hpp"
#include "protocol/session/stream_set.hpp"
#include "protocol/session/turn.hpp"
#include "protocol/session/version_one.hpp"
#include "protocol/session/waiting.hpp"

namespace muxsocks {

struct session_state;
struct stream_state;

class session {
  public:
    session(session_settings settings, instant now);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // ---- Links. `exporter`: TLS keying material, empty without channel binding. A link that has
    // ended, or was never told to the session, is named in vain.

    /// The first link is up; its number is 0. A client's HELLO becomes due.
    void on_link(bytes_view exporter, instant now);
    /// Client: a further link is up. JOIN becomes due on it; returns its number. link_up,
    /// join_failed or link_down follows.
    link_number join(bytes_view exporter, instant now);
    /// Server: verifies a JOIN. With an empty result the link belongs to the session, which has
    /// looked at nothing behind JOIN yet. Without `room` the proof is verified, and that is all.
    std::optional<join_fail_frame> on_join(const join_frame& frame, bytes_view exporter,
                                           instant now, bool room = true);
    /// Plaintext from the link, beginning at a frame. Takes whole frames and returns their bytes;
    /// the rest must come again, with more behind it. The views that readable streams show point
    /// into `bytes` until end_batch(). About `frames_max` frames of streams are taken at a time.
    std::size_t on_bytes(link_number link, bytes_view bytes, instant now,
                         std::size_t frames_max = SIZE_MAX);
    /// Whether on_bytes() has left whole frames for its next call.
    bool frames_left(link_number link) const;
    /// The link is gone without CLOSE, or given up here. Without another one the session detaches
    /// if it can be resumed, or closes. Not while a turn is laid.
    void on_link_lost(link_number link, std::error_code why, instant now);
    /// Which link takes what, and how many bytes a second of small frames the second one for them.
    void set_roles(const link_roles& roles);
    void set_twice(std::uint64_t bytes_per_second) { copies_.set_rate(bytes_per_second); }
    /// Finds out which streams are bulk (bulk_watch.hpp); a few times a second while bytes move.
    stream_facts look_at_streams(std::uint32_t bulk_bytes, instant now);
    std::vector<link_facts> facts() const;
    /// Whether nothing new goes by the link: others give signs of life, and it does not.
    bool avoids(link_number link) const;
    const join_fail_frame& join_answer() const { return join_answer_; } ///< To the last one.

    // ---- Events.

    /// The oldest event, if there is one.
    std::optional<event> next_event() { return batch_.next_event(); }
    /// Ends a batch of received bytes: what streams did not consume is copied and kept, against the
    /// memory bounds.
    void end_batch();
    /// The oldest notice; one for each event.
    notice_frame take_notice();

    // ---- Streams.

    /// Client: a new stream whose first bytes are `request`. It leaves when a turn, the peer's
    /// limit and a link allow.
    stream& open(bytes_view request, void* context);
    /// Whether new streams make sense here: not closed, draining, or told to go away.
    bool accepts_opens() const;
    /// After GOAWAY: whether the server takes new streams nevertheless, of who has no other one.
    bool accepts_late_opens() const;
    /// The owner takes an opened stream up: its request was complete.
    void accept(stream& s) { s.request_done = true; }
    /// Its connect has succeeded (REP 00), so that its reset is no flood.
    void on_connected(stream& s) { s.connected = true; }
    /// Sends own bytes, before anything that is read from the socket.
    void write(stream& s, bytes_view bytes);
    /// A refusal: the bytes and FIN in one frame, then input is discarded until the peer ends the
    /// stream. Releases it.
    void refuse(stream& s, bytes_view reply);
    /// Server: tells why, in front of the refusing reply, or without a stream about the session. In
    /// vain where the peer does not know of notices.
    void notify(stream* about, const notice_frame& told);
    /// The stream's socket has bytes or an end to read; its turn will come by next_read().
    void on_readable(stream& s);
    /// The socket will give no more bytes: FIN follows.
    void finish(stream& s);
    /// The local socket takes nothing more: what has come, and what comes, is thrown away, and no
    /// more credit is granted. To be followed by reset(), once what the socket has said is sent.
    void discard(stream& s);
    /// RST, after own bytes for which there is credit; nothing else is sent or received any more.
    void reset(stream& s, reset_code code);
    /// RST on all that have an owner, who is told.
    void end_streams(reset_code code);
    /// The owner lets go; an unfinished stream is reset. The pointer is invalid from here on.
    void release(stream& s);
    /// Unread bytes, oldest first; returns the views filled. Valid until consume() or end_batch().
    std::size_t peek(const stream& s, std::span<bytes_view> views) const {
        return batch_.peek(s, views);
    }
    /// The local socket has taken the oldest `bytes`. `now` may be later than all that the session
    /// has heard, and counts only if it is.
    void consume(stream& s, std::size_t bytes, instant now);
    /// The stream's socket is parked, at least since `since`, and the kernel holds so many bytes
    /// for it; 0 once it moves. They are charged as unread bytes are, so that streams may be shed.
    /// Returns whether it has changed.
    bool hold_outside(stream& s, std::size_t bytes, instant now, instant since);
    /// What is held for the stream that holds most and has not moved for 5 seconds; 0 without one.
    std::size_t most_stalled(instant now) const;
    /// Resets that stream: its memory is needed.
    void shed_most_stalled(instant now);
    /// Calls `function(stream&)` for every stream that has an owner. It may reset and release them.
    template <typename Function>
    void for_each_stream(Function function) {
        streams_.for_each([&](stream& s) {
            if (!s.released) function(s);
        });
    }
    datagrams& datagrams_lane() { return datagrams_; }
    pacing& rates() { return pacing_; }
    const pacing& rates() const { return pacing_; }

    // ---- Output of one link: begin_turn, reads until there is no slot (datagrams first),
    // end_turn.
    bool wants_turn(link_number link) const;
    /// Whether larger batches than usual delay no one (scheduler::alone_and_fast).
    bool may_batch_more(link_number link) const;
    /// The link wants a turn. Of `size` bytes at most, but one session-level frame more where that
    /// alone is longer.
    void begin_turn(link_number link, instant now,
                    std::size_t size = chunk_pool::default_chunk_size);
    std::optional<read_slot> next_read();
    void on_read(const read_slot& slot, std::size_t bytes, read_outcome outcome);
    /// The bytes of the turn, contiguous; maybe none. Good while `keep` is held.
    bytes_view end_turn(chunk_ref& keep);

    // ---- Time and ends.

    std::optional<instant> deadline() const;
    void on_deadline(instant now);
    /// What the transport of a link knows of the peer: when bytes last came and when ours last
    /// arrived, neither of which shows here before a record is whole.
    void on_path(link_number link, instant received, instant arrived);
    /// Sends a PING on every link now: do they still live?
    void probe();
    /// GOAWAY: the peer opens no more streams here; those that exist go on. With `takes_late` one
    /// that has no other server may go on opening them.
    void go_away(close_code code, duration drain, std::string_view text, bool takes_late = false);
    /// CLOSE, by every link: over for good. All streams are reset.
    void close(close_code code, std::error_code why, std::string_view text,
               std::uint16_t detail = 0);
    /// Whether the session may end in good order: no stream is open, missing or on its way, and the
    /// peer has all that was sent.
    bool may_end() const;
    /// Whether no stream is open, and no frame of one waits to arrive: without a link nothing else
    /// is worth waiting for.
    bool brings_nothing() const;

    // ---- A hand-over to another process (state.hpp).

    /// Whether save() may be called: between two turns, once all events are taken.
    bool may_be_saved() const;
    /// All that outlives the links. It changes nothing: whoever cannot hand it over goes on.
    /// `add_owner(stream&, stream_state&)` says what the stream's owner needs.
    session_state save(instant now, const std::function<void(stream&, stream_state&)>& add_owner);
    /// What a session that was made with settings_for() goes on from: nothing has happened to it
    /// yet. Returns the streams in their order; those that are owned are their owners' from now on.
    std::vector<stream*> restore(const session_state& from, instant now);

    // ---- Getters.

    role side() const { return settings_.side; }
    bool established() const { return state_ != state::closed && handshake_.done(); }
    bool attached() const { return links_.up_count() > 0; }
    bool closed() const { return state_ == state::closed; }
    bool resumable() const { return established() && agreed().resumable; }
    bool reading_paused() const { return v1_.paused(); }
    /// Whether JOIN is due or out on a link, and not answered.
    bool joining() const { return links_.size() > links_.up_count(); }
    std::uint32_t peer_max_streams() const { return agreed().peer_max_streams; }
    const std::string& user() const { return agreed().user; }
    std::uint32_t resume_timeout_ms() const { return agreed().resume_timeout_ms; }
    /// Whether the link waits because it keeps all that it may.
    bool waits_for_acks(link_number link) const;
    unsigned version() const { return version_; }
    const agreement& agreed() const { return handshake_.agreed(); }
    const session_id& id() const { return proofs_.id(); }
    const session_proofs& proofs() const { return proofs_; }
    std::size_t link_count() const { return links_.size(); }
    bool has_link(link_number link) const { return links_.find(link) != nullptr; }
    std::size_t stream_count() const { return streams_.table.size(); }
    std::size_t opening_count() const { return waiting_.opening_count; }
    duration rtt() const { return links_.rtt(); }
    /// Since when a link that is up owes a sign of life, the first of them; none while all is well.
    std::optional<instant> unanswered_since() const;
    /// When a byte last came on any link that is up, or on one.
    instant last_heard() const;
    instant last_heard(link_number link) const;
    /// Whether the peer has yet to answer frames of ours, or a PING, on the link, which is up.
    bool owes_answer(link_number link) const;
    std::size_t memory_held() const { return account_.charged(); }
    std::size_t held_outside() const { return memory_.outside(); }     ///< Of that, by the kernel.
    std::size_t owner_holds() const { return account_.owner_holds(); } ///< Its user, by all.
    void charge_links(std::size_t bytes_outside); ///< And their frames that wait here.
    /// Its memory is `to`'s, from here on.
    void charge_to(std::shared_ptr<memory_budget> to) { account_.move_to(std::move(to)); }
    std::size_t kept_held() const { return kept_memory_.held(); }
    const session_statistics& statistics() const { return statistics_; }
    std::error_code error() const { return error_; }
    const std::string& peer_text() const { return peer_text_; }
    std::uint16_t peer_detail() const { return peer_detail_; }
    void set_keepalive(const keepalive_timing& timing);

  private:
    friend class datagrams;
    friend class pacing;
    enum class state : std::uint8_t { open, closed };

    // session.cpp
    void wake() const {
        if (settings_.wake) settings_.wake();
    }
    bool broken(broken_rule rule) const { return settings_.broken == rule; }
    bool client() const { return settings_.side == role::client; }
    void emit(event::kind type, stream* s = nullptr, std::error_code error = {},
              link_number link = 0) {
        batch_.emit({type, s, error, link});
    }
    void fail(errc why);
    void finish_session(std::error_code why);
    void reap();

    // session_streams.cpp
    void close_stream(stream& s);
    void close_if_done(stream& s);
    void end_stream(stream& s, std::error_code why);
    void drop_if_released(stream& s);
    void end_all_streams(std::error_code why);
    void recharge(stream& s);
    void drop_unread(stream& s);
    stream* most_held(instant moved_before = instant::max()) const;
    void shed(stream& s);
    void fault(stream& s, reset_code code, errc why);
    void end_v1_pause(stream& s);

    // session_links.cpp
    link_state& add_link(link_number number, link_state::phase at, instant now);
    std::size_t on_join_answer(link_state& l, bytes_view bytes);
    void on_join_ok(link_state& l, bytes_view payload);
    void lose(link_state& l, std::error_code why, bool told);
    void on_links_changed();
    void on_acked(bytes_view frame);
    void on_all_acked(stream& s);
    void on_ack(link_state& l, std::uint64_t frames);
    void on_drop(link_state& by, bytes_view payload);
    void on_heard(link_state& l);
    void doubt_links();
    /// The peer has sent PING.
    void on_asked(const link_state& on);
    void ask(link_state& l, instant avoid_from);
    void avoid(link_state& l);
    void make_room_for_joined();
    void say_again(link_number lost);
    duration patience(const link_state& l) const;

    // session_receive.cpp
    bool begins_v1(const frame_header& first) const;
    void handle(link_state& l, const frame_header& header, bytes_view payload);
    void on_stream_frame(const frame_header& header, bytes_view payload);
    void on_v1_frame(const frame_header& header, bytes_view payload);
    stream* find_or_open(std::uint32_t id, bool opens);
    stream* admit(std::uint32_t id);
    void on_data(std::uint32_t id, std::uint8_t flags, bytes_view payload);
    void take_data(stream& s, std::uint64_t offset, bytes_view bytes, bool fin);
    void place(stream& s, std::uint64_t offset, bytes_view bytes);
    void on_fin(stream& s);
    void on_rst(std::uint32_t id, bytes_view payload);
    void begin_v1();
    void refuse_id(std::uint32_t id);
    bool v1_backlog_full() const;

    // session_control.cpp
    void on_ping(link_state& l, bytes_view payload);
    void on_control(link_state& l, std::uint32_t id, bytes_view payload);
    void size_credit_flood();
    void on_handshake(link_state& l, control_type type, bytes_view payload);
    void on_extension(std::uint32_t id, bytes_view payload);
    void on_credit(std::uint32_t id, bytes_view payload);
    void on_goaway(bytes_view payload);
    void on_peer_close(bytes_view payload);

    // session_state.cpp
    void save_kept(session_state& to) const;
    std::unordered_map<std::uint32_t, std::uint32_t> restore_kept(const session_state& from);
    stream& restore(const stream_state& from);
    void resume(stream& s);

    // session_send.cpp
    bool may_open() const;
    bool flows(const link_state& l) const;
    /// Streams that the peer may still take for open: not those that it will hear RST of.
    std::size_t open_count() const { return streams_.table.size() - waiting_.resetting; }
    bool rst_pending() const { return waiting_.rst_pending(now_); }
    bool kept_pending(const link_state& l) const;
    /// Whether the next stretch of what another link had may go by this one.
    bool may_carry(const link_state& l) const;
    /// What another link had goes before new bulk, which may have to keep to a rate besides.
    bool fresh_only(const link_state& l) const {
        return !pacing_.may_read_bulk() || (&l == links_.bulk() && again_.has_bulk());
    }
    bool may_serve(const link_state& l) const;
    void wait_for_room(link_state& l);
    void unblock();
    link_state* home(const stream& s) const;
    bool sendable(const stream& s) const;
    void schedule(stream& s);
    void unschedule(stream& s);
    /// It may go by another link now.
    void move_home(stream& s);
    /// Its datagrams became many at once.
    void on_surge(stream& s);
    void list_credit(stream& s);
    void list_reset(stream& s);
    void on_sent(stream& s, std::size_t bytes);
    void on_fin_sent(stream& s);
    static void queue_control(link_state& l, std::uint32_t id, bytes_view payload);
    std::size_t header_size() const { return version_ >= 2 ? data_header_size : frame_header_size; }
    std::size_t payload_max() const {
        return settings_.frame_payload + frame_header_size - header_size();
    }
    bool serve(stream& s, read_slot& slot);
    read_slot make_slot(stream& s);

    // session_turn.cpp
    void lay_outbox(link_state& l);
    void lay_control(link_state& l);
    void lay_credits(link_state& l);
    void lay_kept_control(link_state& l);
    void lay_again(link_state& l);
    void lay_resets();
    void lay_resets_of(ready_list& list, bool paced);
    void lay_opening();
    void lay_own(stream& s, std::uint8_t more_flags = 0);
    void lay_overlap(stream& s, const std::uint8_t* frame);
    void lay_rst(std::uint32_t id, reset_code code, stream* s);
    void lay_fin(stream& s);
    void count_frame(stream* s, const std::uint8_t* frame, std::size_t size);

    session_settings settings_;
    memory_account account_;
    kept_memory kept_memory_;
    resend_queue again_;
    session_proofs proofs_;
    handshake handshake_;
    flood_guard flood_;
    session_statistics statistics_;
    link_set links_;
    copy_budget copies_;
    bulk_watch bulk_;
    attached_clock attached_;
    stream_set streams_;
    stream_ids ids_;
    stream_memory memory_;
    received_batch batch_;
    turn turn_;
    version_one v1_;
    datagrams datagrams_{*this};
    pacing pacing_{*this};

    state state_ = state::open;
    bool first_seen_; ///< Whether the header of the session's first frame has come.
    bool goaway_due_ = false;
    bool goaway_received_ = false;
    bool joined_ = false; ///< Since the last batch ended.
    std::uint8_t version_ = 2;
    std::uint16_t peer_detail_ = 0;
    instant now_;
    std::error_code error_;
    std::string peer_text_;
    join_fail_frame join_answer_;
    std::optional<goaway_frame> goaway_; ///< As sent, or to be sent; a client's: as received.
    std::deque<notice_frame> notices_;

    waiting waiting_;
    instant credits_given_{}; ///< When a lost link last gave repetitions of CREDIT back.
    std::size_t links_charged_ = 0;
};

} // namespace muxsocks
