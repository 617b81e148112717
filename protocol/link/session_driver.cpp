#include "protocol/link/session_driver.hpp"

#include <boost/asio/post.hpp>

#include <utility>

namespace muxsocks {
namespace {

/// What one stream alone may send at a time on a fast link.
constexpr std::size_t batch_bytes_alone = 512 * 1024;
/// A message of up to this size, with nothing behind it, is someone's who waits for an answer.
constexpr std::size_t small_message_bytes = 4096;
/// The least silence of a peer for which TCP is asked what it knows.
constexpr std::chrono::milliseconds path_silence{50};

session_settings with_turns(session_settings settings) {
    settings.frames_at_once = session_driver::frames_a_turn;
    return settings;
}

stream_owner* owner_of(const stream& s) { return static_cast<stream_owner*>(s.context); }

} // namespace

session_driver::session_driver(link_thread& thread, session_settings settings, delegate& to)
    : thread_(thread),
      delegate_(&to),
      binds_(settings.channel_binding),
      session_(with_turns(std::move(settings)), now()),
      deadline_(thread.clock(), [this] { on_deadline(); }),
      last_words_(thread.clock(), [this] { on_session_closed(session_.error()); }) {
    thread_.enlist(*this);
}

session_driver::~session_driver() {
    tell_held(0);
    if (link_) link_->abort();
    if (resuming_) resuming_->abort();
}

// ---- Links

void session_driver::start(link_ptr first) {
    adopt(std::move(first));
    session_.on_link(exporter_of(*link_), now());
    settle();
}

std::vector<std::uint8_t> session_driver::exporter_of(const link& on) const {
    return binds_ ? on.exporter() : std::vector<std::uint8_t>();
}

void session_driver::adopt(link_ptr next) {
    if (link_) link_->abort();
    link_ = std::move(next);
    link_->set_owner(*this);
    acked_bytes_ = out_of_order_ = 0;
}

void session_driver::on_link_up(link&) {}

std::size_t session_driver::on_link_bytes(link& from, bytes_view bytes) {
    const driver_ptr self(this);
    if (&from == resuming_.get()) return on_resume_bytes(bytes);
    if (&from != link_.get()) return bytes.size();
    return feed(bytes);
}

std::size_t session_driver::feed(bytes_view bytes) {
    const driver_ptr self(this);
    const auto used = session_.on_bytes(bytes, now());
    settle();
    return used;
}

void session_driver::on_link_writable(link& from) {
    if (&from == link_.get()) turn();
}

void session_driver::on_link_down(link& from, std::error_code error, const std::string& text) {
    const driver_ptr self(this);
    if (&from == resuming_.get()) {
        resuming_.reset();
        if (delegate_) delegate_->on_resume_lost(*this, error, text);
        return;
    }
    if (&from != link_.get()) return;
    link_.reset();
    down_text_ = text;
    session_.on_link_lost(error, now());
    settle();
}

void session_driver::resume_on(link_ptr next) {
    if (resuming_) resuming_->abort();
    resuming_ = next;
    next->set_owner(*this);
    next->send(session_.make_resume(exporter_of(*next), now()));
    next->flush();
}

void session_driver::stop_resuming() {
    if (resuming_) std::exchange(resuming_, nullptr)->abort();
}

std::size_t session_driver::on_resume_bytes(bytes_view bytes) {
    const auto answer = session_.on_resume_answer(bytes, now());
    switch (answer.status) {
    case session::resume_status::need_more:
        return answer.used;
    case session::resume_status::resumed:
        adopt(std::exchange(resuming_, nullptr));
        return answer.used + feed(bytes.subspan(answer.used));
    case session::resume_status::failed: {
        const auto with = std::exchange(resuming_, nullptr);
        if (delegate_) delegate_->on_resume_failed(*this, answer.failure, with);
        if (with->belongs_to(*this)) with->close();
        return answer.used;
    }
    case session::resume_status::fault:
        std::exchange(resuming_, nullptr)->close();
        if (delegate_) delegate_->on_resume_lost(*this, answer.error, answer.error.message());
        return bytes.size();
    }
    return bytes.size();
}

std::optional<resume_fail_frame> session_driver::resume(link_ptr next, const resume_frame& frame) {
    const driver_ptr self(this);
    const auto failure = session_.on_resume(frame, exporter_of(*next), now());
    if (!failure) adopt(std::move(next));
    settle();
    return failure;
}

// ---- Streams

void session_driver::on_timeouts_changed() {
    session_.for_each_stream([](stream& s) {
        if (s.context && !s.released) owner_of(s)->on_timeouts_changed();
    });
}

stream& session_driver::open(bytes_view request, stream_owner& served_by) {
    auto& s = session_.open(request, &served_by);
    wake();
    return s;
}

void session_driver::consume(stream& s, std::size_t bytes) {
    session_.consume(s, bytes, now());
    if (link_ && !link_->reading() && wants_input()) link_->set_reading(true);
    if (session_.wants_turn()) wake();
}

void session_driver::shed_most_stalled() {
    const driver_ptr self(this);
    session_.shed_most_stalled(now());
    settle();
}

// ---- Turns

void session_driver::wake() {
    if (turn_posted_) return;
    turn_posted_ = true;
    asio::post(thread_.context(), [self = driver_ptr(this)] {
        self->turn_posted_ = false;
        self->turn();
    });
}

void session_driver::turn() {
    const driver_ptr self(this);
    if (link_ && !link_->output_stuck() && !last_words_.is_set()) {
        const auto at = now();
        // What does not fit into a batch waits for the next round of the event loop.
        reads_left_ = reads_a_turn;
        while (session_.wants_turn() && link_ && reads_left_ > 0 &&
               link_->output_size() <
                   (session_.may_batch_more() ? batch_bytes_alone : link_->batch_bytes()))
            lay_turn(at);
        if (link_) link_->flush();
        if (link_ && !link_->output_stuck() && !session_.wants_turn()) link_->on_idle();
    }
    settle();
}

void session_driver::lay_turn(instant at) {
    session_.begin_turn(at, link_->batch_bytes());
    stream* failed = nullptr;
    while (reads_left_ > 0) {
        const auto slot = session_.next_read();
        if (!slot) break;
        --reads_left_;
        auto& s = *slot->subject;
        const auto served_by = owner_of(s);
        const auto result = served_by->read_for_turn(*slot);
        session_.on_read(*slot, result.bytes, result.outcome);
        if (result.outcome == read_outcome::drained && result.bytes <= small_message_bytes &&
            session_.stream_count() > 1)
            link_->on_small_message();
        if (result.failed) {
            failed = &s;
            break;
        }
        if (s.readable && !s.closed && s.send.available() == 0) served_by->on_parked();
    }
    chunk_ref keep;
    const auto bytes = session_.end_turn(keep);
    if (!bytes.empty()) link_->send(bytes);
    if (failed && !failed->released) owner_of(*failed)->on_read_failed();
}

void session_driver::settle() {
    if (dispatching_) return;
    const driver_ptr self(this);
    dispatching_ = true;
    dispatch();
    dispatching_ = false;
    session_.end_batch();
    dispatching_ = true;
    dispatch(); // What end_batch had to shed.
    dispatching_ = false;
    if (link_ && link_->reading() != wants_input()) link_->set_reading(wants_input());
    if (link_ && session_.frames_left()) take_frames_left();
    if (session_.wants_turn() && link_ && !link_->output_stuck() && !last_words_.is_set()) wake();
    tell_held(session_.memory_held());
    update_deadline();
}

/// In the next round of the event loop.
void session_driver::take_frames_left() {
    if (std::exchange(frames_posted_, true)) return;
    asio::post(thread_.context(), [self = driver_ptr(this)] {
        self->frames_posted_ = false;
        if (self->link_) self->link_->deliver_again();
    });
}

void session_driver::tell_held(std::size_t held) {
    const auto before = std::exchange(held_seen_, held);
    if (held == before) return;
    thread_.on_held(static_cast<std::ptrdiff_t>(held) - static_cast<std::ptrdiff_t>(before));
}

void session_driver::dispatch() {
    while (const auto e = session_.next_event()) {
        switch (e->type) {
        case event::kind::readable:
            if (const auto served_by = owner_of(*e->subject)) served_by->on_stream_readable();
            break;
        case event::kind::reset:
            if (const auto served_by = owner_of(*e->subject)) served_by->on_stream_reset(e->error);
            break;
        case event::kind::opened:
            if (delegate_)
                delegate_->on_opened(*this, *e->subject);
            else
                session_.release(*e->subject);
            break;
        case event::kind::established:
            if (delegate_) delegate_->on_established(*this);
            break;
        case event::kind::goaway:
            if (delegate_) delegate_->on_goaway(*this);
            break;
        case event::kind::resumed:
            if (delegate_) delegate_->on_resumed(*this);
            break;
        case event::kind::detached:
            if (link_) link_->abort();
            link_.reset();
            session_.for_each_stream([](stream& s) {
                if (const auto served_by = owner_of(s)) served_by->on_parked();
            });
            if (delegate_)
                delegate_->on_detached(*this, e->error,
                                       down_text_.empty() ? e->error.message() : down_text_);
            down_text_.clear();
            break;
        case event::kind::closed: {
            const auto delay = delegate_ ? delegate_->answer_delay(*this, e->error) : duration{};
            if (link_ && delay > duration{})
                last_words_.expires_after(delay);
            else
                on_session_closed(e->error);
            break;
        }
        }
    }
}

void session_driver::on_session_closed(std::error_code why) {
    const driver_ptr self(this);
    if (link_) {
        // CLOSE or AUTH_FAIL is still in the session.
        while (link_ && session_.wants_turn())
            lay_turn(now());
        if (link_) std::exchange(link_, nullptr)->close();
    }
    if (resuming_) std::exchange(resuming_, nullptr)->abort();
    const auto to = std::exchange(delegate_, nullptr);
    const auto text = down_text_.empty() ? why.message() : down_text_;
    if (to) to->on_closed(*this, why, text);
}

// ---- Time

void session_driver::update_deadline() {
    const auto wanted = session_.deadline();
    // A timer that is early only costs a look; moving it at each frame would cost much more.
    if (!wanted || (deadline_.is_set() && deadline_.expiry() <= *wanted)) return;
    deadline_.expires_at(std::max(*wanted, now() + std::chrono::milliseconds(1)));
}

void session_driver::on_deadline() {
    const driver_ptr self(this);
    const auto at = now();
    look_at_path(at);
    session_.on_deadline(at);
    settle();
}

void session_driver::look_at_path(instant now) {
    // Data has its own deadlines by the dozen; only silence is worth a system call.
    if (!link_ || now - session_.last_heard() < path_silence) return;
    const auto path = link_->path();
    // An acknowledgement that acknowledges nothing new, of a window that stays shut for example,
    // is no progress. One that does is.
    const bool arrived = std::exchange(acked_bytes_, path.acked_bytes) != path.acked_bytes;
    // So is a packet behind one that was lost.
    const bool behind_gap = std::exchange(out_of_order_, path.out_of_order) != path.out_of_order;
    const auto received = path.received_bytes > 0 ? now - path.since_received : instant{};
    session_.on_path(behind_gap ? now : received, arrived ? now - path.since_ack : instant{});
}

// ---- Ends

void session_driver::close(close_code code, std::error_code why, std::string_view text) {
    session_.close(code, why, text);
    settle();
}

void session_driver::go_away(close_code code, duration drain, std::string_view text) {
    session_.go_away(code, drain, text);
    settle();
}

void session_driver::probe() {
    session_.probe();
    settle();
}

} // namespace muxsocks
