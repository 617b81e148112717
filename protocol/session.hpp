#pragma once

/// \file
/// A session: many streams over one link at a time, which may outlive links. Free of I/O: bytes and
/// the time come in as arguments, bytes and events go out.
///
/// One turn of its driver is always: what happened (on_...), then next_event() until there is none,
/// end_batch(), then turns of output while wants_turn(), then deadline(). docs/PROTOCOL.md says
/// what goes over the wire. Single-threaded.

#include "protocol/event.hpp"
#include "protocol/flood_guard.hpp"
#include "protocol/frame.hpp"
#include "protocol/handshake.hpp"
#include "protocol/keepalive.hpp"
#include "protocol/replay_buffer.hpp"
#include "protocol/scheduler.hpp"
#include "protocol/stream_table.hpp"

#include <deque>
#include <memory>

namespace muxsocks {

enum class role : std::uint8_t { client, server };

/// What the server knows of a user who may come in.
struct user_access {
    digest key{};                  ///< SHA-256 of the token.
    std::uint32_t max_streams = 0; ///< 0: the session's own limit.
};

struct session_settings {
    role side = role::client;
    crypto_functions crypto;
    chunk_pool* pool = nullptr;      ///< Must be set; outlives the session.
    memory_budget* budget = nullptr; ///< Of the process; null: none.

    std::uint32_t initial_window = 256 * 1024; ///< No more than stream_window_max is used of it.
    std::uint64_t stream_window_max = 64 * 1024 * 1024;
    std::size_t session_memory = 256 * 1024 * 1024;
    std::uint32_t max_streams = 16'384; ///< Server: announced in HELLO.
    std::size_t frame_payload = frame_payload_default;
    keepalive_timing keepalive;
    replay_limits replay;
    flood_limits flood;
    bool resume = true;
    std::uint32_t resume_timeout_ms = 120'000; ///< Server: how long it keeps a detached session.
    bool channel_binding = true; ///< HELLO feature bit 0; must be equal on both sides.
    bool allow_v1 = false;
    /// The link has carried a RESUME and its RESUME_FAIL, which are not version 1's, before this
    /// session begins on it.
    bool first_frame_seen = false;
    /// For HELLO, again for AUTH, and for START after RESUME_OK.
    duration handshake_timeout = std::chrono::seconds(5);
    duration frame_timeout = std::chrono::seconds(30);   ///< From a frame's begin to its end.
    duration discard_timeout = std::chrono::seconds(10); ///< After a refusal, for FIN or RST.

    // Client.
    std::string user;
    std::optional<digest> key; ///< SHA-256 of the token; none: method 0.

    // Server: the user's key and limits, or nothing for an unknown user. Method 0 asks for "".
    std::function<std::optional<user_access>(std::string_view user)> find_user;
};

/// Where the bytes of one read of a stream's socket go: straight behind the room for the headers.
struct read_slot {
    static constexpr std::size_t places_max = 8;
    stream* subject = nullptr;
    std::array<bytes_span, places_max> places;
    std::size_t count = 0; ///< Places used; fill them in order.
    std::size_t size = 0;  ///< Bytes of all places together.
};

enum class read_outcome : std::uint8_t {
    more,    ///< The socket may have more now.
    drained, ///< Nothing more for now: the owner waits and calls on_readable() again.
    end,     ///< End of file, after the bytes of this read.
};

struct session_statistics {
    std::uint64_t streams_opened = 0;
    std::uint64_t bytes_sent = 0;     ///< DATA payload.
    std::uint64_t bytes_received = 0; ///< DATA payload.
    std::uint64_t half_closes = 0;    ///< FIN received while our direction was open.
    std::uint64_t resets_sent = 0;
    std::uint64_t resets_received = 0;
    std::uint64_t windows_dry = 0; ///< Times a stream stopped for want of credit.
    std::uint64_t windows_grown = 0;
    std::uint64_t shed = 0;
    std::uint64_t refused = 0;
    std::uint64_t replay_full = 0; ///< Times the sender stopped for a full replay buffer.
    std::uint64_t duplicates = 0;  ///< Frames dropped because they had been processed.
    std::uint64_t resumptions = 0;
};

namespace sim {
struct session_faults;
}

class session {
  public:
    session(session_settings settings, instant now);
    ~session();
    session(const session&) = delete;
    session& operator=(const session&) = delete;

    // ---- Links. `exporter`: TLS keying material, empty without channel binding.

    /// The first link is up. A client's HELLO becomes due.
    void on_link(bytes_view exporter, instant now);
    /// Plaintext from the link, beginning at a frame. Takes whole frames and returns their bytes;
    /// the rest must come again, with more behind it. The views that readable streams show point
    /// into `bytes` until end_batch().
    std::size_t on_bytes(bytes_view bytes, instant now);
    /// The link is gone without CLOSE. The session detaches if it can be resumed, or closes.
    void on_link_lost(std::error_code why, instant now);

    /// Client: the RESUME frame, header included, for a new link. Each call raises the epoch.
    std::vector<std::uint8_t> make_resume(bytes_view exporter, instant now);
    enum class resume_status : std::uint8_t { need_more, resumed, failed, fault };
    struct resume_answer {
        resume_status status = resume_status::need_more;
        /// Bytes of the answer and of what is ignored in front of it, which may be some while more
        /// is needed. What follows the answer goes to on_bytes().
        std::size_t used = 0;
        resume_fail_frame failure;
        std::error_code error;
    };
    /// Client: what came back on that link. After `resumed` the old link, if any, is closed and its
    /// unparsed bytes dropped, and this session speaks on the new one.
    resume_answer on_resume_answer(bytes_view bytes, instant now);
    /// Server: verifies a RESUME. With an empty result the old link is closed, its unparsed bytes
    /// dropped, and the session speaks on the new one.
    std::optional<resume_fail_frame> on_resume(const resume_frame& frame, bytes_view exporter,
                                               instant now);

    // ---- Events.

    /// The oldest event, if there is one.
    std::optional<event> next_event();
    /// Ends a batch of received bytes: what streams did not consume is copied and kept, against the
    /// memory bounds.
    void end_batch();

    // ---- Streams.

    /// Client: a new stream whose first bytes are `request`. It leaves with its SYN when a turn,
    /// the peer's limit and the link allow.
    stream& open(bytes_view request, void* context);
    /// Whether new streams make sense here: not closed, draining, or told to go away.
    bool accepts_opens() const;
    /// The owner takes an opened stream up: its request was complete.
    void accept(stream& s) { s.request_done = true; }
    /// Its connect has succeeded (REP 00), so that its reset is no flood.
    void on_connected(stream& s) { s.connected = true; }
    /// Sends own bytes, before anything that is read from the socket.
    void write(stream& s, bytes_view bytes);
    /// A refusal: the bytes and FIN in one frame, then input is discarded until the peer ends the
    /// stream. Releases it.
    void refuse(stream& s, bytes_view reply);
    /// The stream's socket has bytes or an end to read; its turn will come by next_read().
    void on_readable(stream& s);
    /// The socket will give no more bytes: FIN follows.
    void finish(stream& s);
    /// The local socket takes nothing more: what has come, and what comes, is thrown away, and no
    /// more credit is granted. To be followed by reset(), once what the socket has said is sent.
    void discard(stream& s);
    /// RST, after own bytes for which there is credit; nothing else is sent or received any more.
    void reset(stream& s, reset_code code);
    /// The owner lets go; an unfinished stream is reset. The pointer is invalid from here on.
    void release(stream& s);

    /// Unread bytes, oldest first; returns the views filled. Valid until consume() or end_batch().
    std::size_t peek(const stream& s, std::span<bytes_view> views) const;
    /// The local socket has taken the oldest `bytes`. `now` may be later than all that the session
    /// has heard from its link, and counts only if it is.
    void consume(stream& s, std::size_t bytes, instant now);

    /// The unread bytes of the stream that holds most of those that have not moved for 5 seconds;
    /// 0 without one.
    std::size_t most_stalled(instant now) const;
    /// Resets that stream: its memory is needed.
    void shed_most_stalled(instant now);

    /// Calls `function(stream&)` for every stream that has an owner. It may reset and release them.
    template <typename Function>
    void for_each_stream(Function function) {
        for (auto s = all_; s; s = s->all_next)
            if (!s->released) function(*s);
    }

    // ---- Output, turn by turn: begin_turn, next_read and on_read until there is no slot,
    // end_turn.

    bool wants_turn() const;
    /// Whether larger batches than usual delay no one (scheduler::alone_and_fast).
    bool may_batch_more() const { return scheduler_.alone_and_fast(); }
    /// Of `size` bytes at most, but one session-level frame more where that alone is longer.
    void begin_turn(instant now, std::size_t size = chunk_pool::default_chunk_size);
    std::optional<read_slot> next_read();
    void on_read(const read_slot& slot, std::size_t bytes, read_outcome outcome);
    /// The bytes of the turn, contiguous; maybe none. Good while `keep` is held if `keep` is set,
    /// else until the next begin_turn().
    bytes_view end_turn(chunk_ref& keep);

    // ---- Time.

    std::optional<instant> deadline() const;
    void on_deadline(instant now);
    /// What the link's transport knows of the peer: when bytes last came and when ours last
    /// arrived, neither of which shows here before a record is whole.
    void on_path(instant received, instant arrived) { keepalive_.on_path(received, arrived); }
    /// Sends a PING now: is the link still alive?
    void probe();

    // ---- Ends.

    /// GOAWAY: the peer opens no more streams here; those that exist go on.
    void go_away(close_code code, duration drain, std::string_view text);
    /// CLOSE: over for good. All streams are reset.
    void close(close_code code, std::error_code why, std::string_view text);

    // ---- Getters.

    bool established() const { return state_ == state::established; }
    bool attached() const { return attached_; }
    bool closed() const { return state_ == state::closed; }
    bool resumable() const { return resumable_ && established(); }
    bool reading_paused() const { return !v1_over_.empty(); }
    /// Server: whether RESUME_OK is out and START not yet in.
    bool awaits_start() const { return awaiting_start_; }
    /// Whether frames of an earlier link are being sent again.
    bool replaying() const { return replay_.replaying(); }
    /// Whether frames wait because the replay buffer is full.
    bool waits_for_acks() const { return blocked_; }
    unsigned version() const { return version_; }
    const session_id& id() const { return id_; }
    const std::string& user() const { return settings_.user; }
    std::uint32_t resume_timeout_ms() const { return settings_.resume_timeout_ms; }
    std::size_t stream_count() const { return table_.size(); }
    std::size_t opening_count() const { return opening_count_; }
    /// How many streams the peer takes at once.
    std::uint32_t peer_max_streams() const { return peer_max_streams_; }
    duration rtt() const { return keepalive_.rtt(); }
    instant last_heard() const { return keepalive_.last_heard(); }
    /// Whether the peer has yet to answer frames of ours, or a PING.
    bool owes_answer() const { return unacked_since_ || keepalive_.awaits_pong(); }
    std::uint64_t frames_acked() const { return replay_.acked_frames(); }
    std::uint64_t frames_received() const { return recv_frames_; }
    /// Since when counted frames are unacknowledged; none while all are.
    std::optional<instant> unacked_since() const { return unacked_since_; }
    std::size_t memory_held() const { return account_.charged(); }
    /// Its memory is `to`'s, from here on.
    void charge_to(std::shared_ptr<memory_budget> to) { account_.move_to(std::move(to)); }
    std::size_t replay_held() const { return replay_.held(); }
    const session_statistics& statistics() const { return statistics_; }
    std::error_code error() const { return error_; }
    const std::string& peer_text() const { return peer_text_; }

    void set_keepalive(const keepalive_timing& settings) { keepalive_.set(settings); }

  private:
    friend struct sim::session_faults; ///< Breaks resumption, for the simulation to find it.

    enum class state : std::uint8_t { start, hello, auth, established, closed };
    struct view_node {
        bytes_view bytes;
        std::int32_t next;
    };
    struct v1_overflow {
        stream* subject;
        std::uint64_t consumed; ///< When the pause began: whether it has moved since.
    };

    // session_receive.cpp
    bool begins_v1(const frame_header& first) const;
    void handle(const frame_header& header, bytes_view payload);
    void on_counted(const frame_header& header, bytes_view payload);
    void on_syn(std::uint32_t stream_id);
    void on_data(std::uint32_t stream_id, std::uint8_t flags, bytes_view payload);
    void on_fin(stream& s);
    void on_rst(std::uint32_t stream_id, bytes_view payload);
    void on_control(std::uint32_t stream_id, bytes_view payload);
    void on_extension(bytes_view payload);
    void on_auth_fail(bytes_view payload);
    void on_credit(std::uint32_t stream_id, bytes_view payload);
    void on_start(bytes_view payload);
    void on_goaway(bytes_view payload);
    void on_peer_close(bytes_view payload);
    void on_ping(bytes_view payload);
    stream* find_or_fault(std::uint32_t stream_id);
    bool never_opened(std::uint32_t stream_id) const;
    void touch(stream& s);
    void refuse_syn(std::uint32_t stream_id);
    bool v1_backlog_full() const;
    void fault(stream& s, reset_code code, errc why);
    void recharge(stream& s);
    void make_room_for(stream& newcomer);
    stream* most_unread(instant moved_before = instant::max()) const;
    void shed(stream& s);
    void drop_unread(stream& s);
    void end_v1_pause(stream& s);

    // session_handshake.cpp
    void on_hello(bytes_view payload);
    void on_client_hello(const hello_frame& hello, bytes_view payload);
    void on_server_hello(const hello_frame& hello, bytes_view payload);
    void on_auth(bytes_view payload);
    void on_auth_ok(bytes_view payload);
    void begin_v1();
    void establish();
    void attach(std::uint64_t peer_received, instant now);
    hello_frame make_hello(std::uint32_t features);

    // session_send.cpp
    bool streams_flow() const {
        return attached_ && (state_ == state::established || auth_sent_) && !replay_.replaying();
    }
    bool may_open() const;
    bool counted_pending() const;
    bool rst_pending() const {
        return !refusals_.empty() || !resets_.empty() ||
               (!paced_resets_.empty() && now_ >= resets_paced_until_);
    }
    void wait_for_room();
    void lay_outbox();
    void lay_control();
    void lay_credits();
    void lay(const frame_header& header, bytes_view payload);
    void lay_counted(const frame_header& header, bytes_view payload);
    void lay_opening();
    void lay_own(stream& s);
    void lay_resets();
    void lay_resets_of(ready_list& list, bool paced);
    void lay_rst(std::uint32_t stream_id, reset_code why);
    bool serve(stream& s, read_slot& slot);
    read_slot make_slot(stream& s);
    void on_fin_sent(stream& s);
    std::size_t room() const { return area_.end - at_; }
    std::size_t min_read() const { return std::min<std::size_t>(1024, area_.end / 8); }
    void queue_control(std::uint32_t stream_id, bytes_view payload);
    bool sendable(const stream& s) const;
    void schedule(stream& s);
    void list_credit(stream& s);

    // session.cpp
    stream& make_stream();
    void reap();
    void emit(event::kind type, stream* s = nullptr, std::error_code error = {});
    void fail(errc why);
    void close_stream(stream& s);
    void close_if_done(stream& s);
    void end_stream(stream& s, std::error_code why);
    void drop_if_released(stream& s);
    void end_all_streams(std::error_code why);
    void sweep_windows();
    void time_out_discarded();
    void time_out_v1_pause();

    session_settings settings_;
    memory_account account_;
    replay_buffer replay_;
    keepalive keepalive_;
    flood_guard flood_;
    scheduler scheduler_;
    stream_table table_;
    session_statistics statistics_;

    state state_ = state::start;
    bool attached_ = false;
    bool first_seen_ = false;    ///< Whether the header of the session's first frame has come.
    leading_extensions leading_; ///< In front of HELLO, or of the answer to RESUME.
    bool auth_sent_ = false;
    bool awaiting_start_ = false; ///< Server: RESUME_OK is out, START not yet in.
    instant start_deadline_{};
    bool resumable_ = false;
    bool goaway_received_ = false;
    unsigned version_ = 2;
    instant now_;
    instant handshake_deadline_{};
    instant hello_sent_{};
    std::optional<instant> partial_since_;
    std::optional<instant> unacked_since_;
    std::error_code error_;
    std::string peer_text_;

    // Handshake and resumption.
    transcript transcript_;
    digest key_{};
    digest t_{};
    digest resume_secret_{};
    session_id id_{};
    std::uint32_t epoch_ = 0;
    std::optional<resume_frame> asked_; ///< Client: the newest RESUME.
    std::vector<std::uint8_t> asked_exporter_;
    std::uint32_t stream_limit_ = 0;     ///< Server: of this user.
    std::optional<goaway_frame> goaway_; ///< As sent; repeated on a new link.

    // Streams.
    std::uint32_t next_id_ = 1;        ///< Of streams that we open.
    std::uint32_t highest_remote_ = 0; ///< Highest id that the peer opened.
    std::uint32_t peer_max_streams_ = 0;
    std::uint32_t peer_window_ = 0;
    ready_list opening_; ///< Streams whose SYN has not been taken.
    std::size_t opening_count_ = 0;
    ready_list resets_;            ///< Streams that wait to send RST.
    ready_list paced_resets_;      ///< The same at a client, of those that count as a flood.
    instant resets_paced_until_{}; ///< The rate of them that the server allows is reached.
    stream* all_ = nullptr;        ///< Every stream object, through stream::all_next.
    std::vector<stream*> dead_;    ///< Closed and released; deleted when nothing can name them.
    std::deque<std::uint32_t> refusals_;
    std::deque<std::pair<instant, std::uint32_t>> discarding_;
    std::vector<stream*> grown_; ///< Streams whose window is above the initial one.
    instant sweep_at_{};
    std::vector<v1_overflow> v1_over_; ///< Version 1: over their buffer; reading is paused.
    instant v1_paused_since_{};

    // The batch of received bytes.
    std::vector<view_node> views_;
    std::vector<stream*> touched_;
    std::vector<event> events_;
    std::size_t events_taken_ = 0;

    // Receiving.
    std::uint64_t recv_frames_ = 0; ///< Counted frames processed.
    std::uint64_t recv_next_ = 1;   ///< Number of the next counted frame on this link.
    std::uint64_t acked_to_peer_ = 0;
    std::size_t credits_repeated_ = 0; ///< CREDITs that a new link may bring again.
    std::size_t bytes_since_ack_ = 0;
    std::optional<instant> ack_deadline_;

    // Sending.
    replay_buffer::area area_;
    std::size_t at_ = 0; ///< Where the next frame of the turn is laid.
    std::uint64_t turn_counted_ = 0;
    bool blocked_ = false;    ///< Whether the last turn had no room for counted frames.
    instant blocked_retry_{}; ///< When to look for room again without an ACK.
    bool ack_due_ = false;
    std::vector<std::uint8_t> outbox_; ///< Session-level frames, laid before all else.
    std::vector<stream*> credits_;
    std::uint64_t pong_token_ = 0;
    unsigned pongs_due_ = 0; ///< Version 2: one, for the newest PING; version 1: one for each.
    void measure_rate();
    std::uint64_t rate_bytes_ = 0; ///< bytes_sent when the rate was last measured, and when.
    instant rate_since_{};
    std::uint64_t sampled_bytes_ = 0; ///< Bytes sent and received when a PING last went out.
};

} // namespace muxsocks
