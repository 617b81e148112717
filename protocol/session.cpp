// The session's life, its streams as their owners see them, and time.

#include "protocol/session.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {
namespace {

constexpr std::size_t v1_unread_max = 4 * 1024 * 1024; ///< A stream; above it reading pauses.
/// Without a byte taken; over a bound of memory such streams go first.
constexpr duration stalled_after = std::chrono::seconds(5);

} // namespace

session::session(session_settings settings, instant now)
    : settings_(std::move(settings)),
      account_(settings_.session_memory, settings_.budget),
      replay_(*settings_.pool, account_, settings_.replay),
      keepalive_(settings_.keepalive),
      flood_(settings_.flood),
      first_seen_(settings_.first_frame_seen),
      now_(now),
      stream_limit_(settings_.max_streams) {
    settings_.initial_window = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(settings_.initial_window, settings_.stream_window_max));
}

session::~session() {
    while (all_) {
        const auto s = all_;
        all_ = s->all_next;
        delete s;
    }
    replay_.clear();
    // What is still charged (unread bytes) goes with the account.
}

// ---- Events

void session::emit(event::kind type, stream* s, std::error_code error) {
    events_.push_back({type, s, error});
}

std::optional<event> session::next_event() {
    while (events_taken_ < events_.size()) {
        const auto& oldest = events_[events_taken_++];
        // A released stream has no owner to tell.
        if (!oldest.subject || !oldest.subject->released) return oldest;
    }
    events_.clear();
    events_taken_ = 0;
    return {};
}

void session::end_batch() {
    for (std::size_t i = 0; i < touched_.size(); ++i) {
        auto& s = *touched_[i];
        s.touched = false;
        if (s.view_bytes > 0) {
            // What has only now something to take has not stood still before.
            if (s.unread.empty()) s.moved = now_;
            for (auto at = s.first_view; at >= 0; at = views_[static_cast<std::size_t>(at)].next)
                s.unread.append(views_[static_cast<std::size_t>(at)].bytes);
            s.view_bytes = 0;
        }
        s.first_view = s.last_view = -1;
        recharge(s);
        if (version_ == 1 && !s.closed && s.unread.size() > v1_unread_max) {
            if (v1_over_.empty()) v1_paused_since_ = now_;
            const auto known = [&s](const v1_overflow& each) { return each.subject == &s; };
            if (std::none_of(v1_over_.begin(), v1_over_.end(), known))
                v1_over_.push_back({&s, s.recv.consumed()});
        }
    }
    touched_.clear();
    views_.clear();
    reap();
}

// ---- Streams

stream& session::make_stream() {
    // Version 1 knows no credit.
    const auto credit = version_ >= 2 ? peer_window_ : credit_limit_max;
    const auto s = new stream(credit, settings_.initial_window);
    s->moved = now_;
    s->all_next = all_;
    if (all_) all_->all_previous = s;
    all_ = s;
    ++statistics_.streams_opened;
    return *s;
}

stream& session::open(bytes_view request, void* context) {
    auto& s = make_stream();
    s.context = context;
    s.request_done = true;
    s.own.assign(request.begin(), request.end());
    if (!accepts_opens()) {
        end_stream(s, state_ == state::closed ? std::error_code(errc::closed_locally)
                                              : std::error_code(errc::going_away));
        return s;
    }
    s.queued = stream::queue::opening;
    opening_.push(s);
    ++opening_count_;
    return s;
}

bool session::accepts_opens() const {
    return state_ != state::closed && !goaway_received_ && next_id_ < 0xffff'fffe;
}

void session::write(stream& s, bytes_view bytes) {
    if (s.closed || s.rst_wanted || s.fin_wanted) return;
    s.own.insert(s.own.end(), bytes.begin(), bytes.end());
    schedule(s);
}

void session::refuse(stream& s, bytes_view reply) {
    write(s, reply);
    s.request_done = true;
    s.fin_wanted = true;
    s.readable = false;
    s.discarding = true;
    drop_unread(s);
    if (!s.closed) discarding_.emplace_back(now_ + settings_.discard_timeout, s.id);
    schedule(s);
    s.released = true;
    drop_if_released(s);
}

void session::on_readable(stream& s) {
    if (s.closed || s.fin_wanted || s.rst_wanted) return;
    s.readable = true;
    if (s.opened() && s.send.available() == 0) ++statistics_.windows_dry;
    schedule(s);
}

void session::finish(stream& s) {
    if (s.closed || s.fin_wanted || s.rst_wanted) return;
    s.readable = false;
    s.fin_wanted = true;
    schedule(s);
}

void session::discard(stream& s) {
    s.discarding = true;
    drop_unread(s);
}

void session::reset(stream& s, reset_code code) {
    if (s.closed || s.rst_wanted) return;
    if (!s.opened()) {
        // Nothing of it has been sent: it vanishes.
        opening_.remove(s);
        --opening_count_;
        s.queued = stream::queue::none;
        s.closed = true;
        drop_if_released(s);
        return;
    }
    scheduler_.remove(s);
    s.readable = false;
    s.fin_wanted = false;
    s.discarding = true;
    s.rst_wanted = true;
    s.rst_code = code;
    if (!s.end) s.end = error_of(code);
    drop_unread(s);
    const bool paced = settings_.side == role::client && !s.connected;
    s.queued = paced ? stream::queue::paced_resets : stream::queue::resets;
    (paced ? paced_resets_ : resets_).push(s);
    blocked_ = false; // There is room on top for RST.
}

void session::release(stream& s) {
    assert(!s.released);
    s.released = true;
    s.context = nullptr;
    const bool finished = s.closed || ((s.fin_wanted || s.fin_sent) && s.at_end());
    if (!finished && !s.rst_wanted) reset(s, reset_code::cancelled);
    drop_unread(s);
    drop_if_released(s);
}

std::size_t session::peek(const stream& s, std::span<bytes_view> views) const {
    auto used = s.unread.peek(views);
    // The queue may hold more than fits: its bytes come before those of the batch.
    for (auto at = s.first_view; at >= 0 && used < views.size();
         at = views_[static_cast<std::size_t>(at)].next)
        views[used++] = views_[static_cast<std::size_t>(at)].bytes;
    return used;
}

void session::consume(stream& s, std::size_t bytes, instant now) {
    if (bytes == 0) return;
    assert(bytes <= s.unread_bytes());
    const auto queued = std::min(bytes, s.unread.size());
    if (queued > 0) {
        s.unread.consume(queued);
        if (s.unread.size() <= v1_unread_max) end_v1_pause(s);
    }
    for (auto rest = bytes - queued; rest > 0;) {
        auto& node = views_[static_cast<std::size_t>(s.first_view)];
        const auto part = std::min(rest, node.bytes.size());
        node.bytes = node.bytes.subspan(part);
        s.view_bytes -= part;
        rest -= part;
        if (node.bytes.empty()) s.first_view = node.next;
    }
    if (s.view_bytes == 0) s.first_view = s.last_view = -1;
    s.recv.on_consumed(bytes);
    s.moved = std::max(now, now_);
    if (s.closed || s.fin_received || version_ == 1) {
        recharge(s);
        return;
    }
    if (s.recv.wants_growth(now_, keepalive_.rtt()) &&
        s.recv.window() < settings_.stream_window_max) {
        const auto grown = std::min(s.recv.window() * 2, settings_.stream_window_max);
        // The promise is charged before it is made.
        if (account_.charge(grown - s.recv.window())) {
            s.charged += grown - s.recv.window();
            s.recv.set_window(grown, now_);
            ++statistics_.windows_grown;
            if (!s.grown) {
                if (grown_.empty()) sweep_at_ = now_ + std::chrono::seconds(5);
                s.grown = true;
                grown_.push_back(&s);
            }
        }
    }
    recharge(s);
    if (s.recv.credit_due()) list_credit(s);
}

void session::close_stream(stream& s) {
    if (s.closed) return;
    s.closed = true;
    scheduler_.remove(s);
    if (s.queued == stream::queue::opening) {
        opening_.remove(s);
        --opening_count_;
    }
    if (s.queued == stream::queue::resets) resets_.remove(s);
    if (s.queued == stream::queue::paced_resets) paced_resets_.remove(s);
    s.queued = stream::queue::none;
    if (s.opened()) table_.erase(s);
    s.readable = false;
    s.rst_wanted = false;
    s.own.clear();
    end_v1_pause(s);
    recharge(s);
}

void session::close_if_done(stream& s) {
    if (s.closed || !s.fin_sent || !s.fin_received) return;
    flood_.resets.give(1);
    close_stream(s);
    drop_if_released(s);
}

void session::end_stream(stream& s, std::error_code why) {
    s.end = why;
    close_stream(s);
    if (!s.released) emit(event::kind::reset, &s, why);
    drop_if_released(s);
}

void session::drop_if_released(stream& s) {
    if (!s.released || !s.closed || s.dead) return;
    s.dead = true;
    drop_unread(s);
    dead_.push_back(&s);
}

void session::reap() {
    // Streams are deleted only where no event, view or list can name them.
    if (dead_.empty() || !touched_.empty() || events_taken_ < events_.size()) return;
    const auto is_dead = [](const stream* s) { return s->released && s->closed; };
    std::erase_if(credits_, is_dead);
    std::erase_if(grown_, is_dead);
    for (const auto s : dead_) {
        (s->all_previous ? s->all_previous->all_next : all_) = s->all_next;
        if (s->all_next) s->all_next->all_previous = s->all_previous;
        delete s;
    }
    dead_.clear();
}

void session::end_all_streams(std::error_code why) {
    // Emptied at once: taking thousands of streams out one by one would be quadratic.
    scheduler_ = {};
    opening_ = {};
    resets_ = {};
    paced_resets_ = {};
    opening_count_ = 0;
    for (auto s = all_; s; s = s->all_next) {
        s->queued = stream::queue::none;
        if (!s->closed) end_stream(*s, why);
    }
}

// ---- Memory

void session::recharge(stream& s) {
    // The greater of what is held and what is promised beyond the initial window.
    std::uint64_t wanted = s.unread.capacity();
    if (s.grown && !s.closed && !s.fin_received && !s.discarding) {
        const auto limit = std::max(s.recv.announced(), s.recv.consumed() + s.recv.window());
        const auto promised = limit - s.recv.consumed();
        const auto extra = promised > settings_.initial_window ? promised - settings_.initial_window
                                                               : std::uint64_t{0};
        wanted = std::max(wanted, extra);
    }
    if (wanted == s.charged) return;
    if (wanted < s.charged) {
        account_.discharge(s.charged - wanted);
        blocked_ = false;
    } else {
        while (!account_.charge_or_relieve(wanted - s.charged)) {
            make_room_for(s);
            if (s.unread.empty()) return; // It was its own turn.
        }
    }
    s.charged = wanted;
}

void session::make_room_for(stream& newcomer) {
    auto victim = most_unread(now_ - stalled_after);
    if (!victim) victim = most_unread();
    shed(victim ? *victim : newcomer);
}

stream* session::most_unread(instant moved_before) const {
    stream* most = nullptr;
    for (auto s = all_; s; s = s->all_next) {
        if (s->unread.empty() || s->moved > moved_before) continue;
        if (!most || s->unread.size() > most->unread.size()) most = s;
    }
    return most;
}

void session::shed(stream& s) {
    ++statistics_.shed;
    drop_unread(s);
    s.end = errc::stream_shed;
    if (!s.closed && !s.rst_wanted) reset(s, reset_code::shed);
    if (!s.released) emit(event::kind::reset, &s, errc::stream_shed);
}

std::size_t session::most_stalled(instant now) const {
    if (account_.charged() == 0) return 0;
    const auto s = most_unread(now - stalled_after);
    return s ? s->unread.size() : 0;
}

void session::shed_most_stalled(instant now) {
    now_ = now;
    if (const auto s = most_unread(now - stalled_after)) shed(*s);
}

void session::drop_unread(stream& s) {
    s.unread.clear();
    s.view_bytes = 0;
    s.first_view = s.last_view = -1;
    if (s.charged > 0) account_.discharge(s.charged);
    s.charged = 0;
    blocked_ = false;
    end_v1_pause(s);
}

void session::end_v1_pause(stream& s) {
    const auto its = [&s](const v1_overflow& each) { return each.subject == &s; };
    if (std::erase_if(v1_over_, its) > 0 && v1_over_.empty()) keepalive_.forgive(now_);
}

void session::sweep_windows() {
    sweep_at_ = now_ + std::chrono::seconds(1);
    std::erase_if(grown_, [this](stream* s) {
        if (!s->closed && !s->fin_received && now_ - s->moved < std::chrono::seconds(5))
            return false;
        s->recv.set_window(settings_.initial_window, now_);
        s->grown = s->recv.announced() > s->recv.consumed() + settings_.initial_window &&
                   !s->closed && !s->fin_received;
        recharge(*s);
        return !s->grown;
    });
}

// ---- Time

std::optional<instant> session::deadline() const {
    std::optional<instant> first;
    const auto add = [&first](instant at) {
        if (!first || at < *first) first = at;
    };
    if (!discarding_.empty()) add(discarding_.front().first);
    if (!grown_.empty()) add(sweep_at_);
    if (!attached_ || state_ == state::closed) return first;
    if (state_ == state::hello || state_ == state::auth) add(handshake_deadline_);
    if (state_ == state::established && v1_over_.empty()) add(keepalive_.deadline());
    if (awaiting_start_) add(start_deadline_);
    if (partial_since_) add(*partial_since_ + settings_.frame_timeout);
    if (ack_deadline_) add(*ack_deadline_);
    if (!v1_over_.empty()) add(v1_paused_since_ + std::chrono::seconds(5));
    if (blocked_) add(blocked_retry_);
    if (!paced_resets_.empty() && now_ < resets_paced_until_) add(resets_paced_until_);
    return first;
}

void session::on_deadline(instant now) {
    now_ = now;
    time_out_discarded();
    if (!grown_.empty() && now >= sweep_at_) sweep_windows();
    if (!attached_ || state_ == state::closed) return;
    if ((state_ == state::hello || state_ == state::auth) && now >= handshake_deadline_)
        return fail(errc::handshake_timeout);
    if (awaiting_start_ && now >= start_deadline_) return on_link_lost(errc::start_timeout, now);
    // A link that crawls is given up like one that is silent; the session may go on elsewhere.
    if (partial_since_ && now >= *partial_since_ + settings_.frame_timeout)
        return on_link_lost(errc::frame_timeout, now);
    if (ack_deadline_ && now >= *ack_deadline_) {
        ack_due_ = true;
        ack_deadline_.reset();
    }
    if (!v1_over_.empty() && now >= v1_paused_since_ + std::chrono::seconds(5)) time_out_v1_pause();
    if (blocked_ && now >= blocked_retry_) {
        blocked_ = false;
        replay_.grow(now, keepalive_.rtt());
    }
    if (state_ != state::established || !v1_over_.empty()) return;
    keepalive_.update(now);
    if (keepalive_.dead(now)) on_link_lost(errc::keepalive_timeout, now);
}

void session::time_out_discarded() {
    while (!discarding_.empty() && discarding_.front().first <= now_) {
        const auto s = table_.find(discarding_.front().second);
        discarding_.pop_front();
        if (s && s->discarding && !s->rst_wanted) reset(*s, reset_code::cancelled);
    }
}

void session::time_out_v1_pause() {
    // What moves, however slowly, is read on for; with more behind it the next pause begins.
    const auto over = v1_over_;
    for (const auto& each : over) {
        if (each.subject->recv.consumed() > each.consumed)
            end_v1_pause(*each.subject);
        else
            fault(*each.subject, reset_code::shed, errc::stream_shed);
    }
}

void session::probe() {
    if (attached_ && state_ == state::established) keepalive_.probe();
}

// ---- Ends

void session::go_away(close_code code, duration drain, std::string_view text) {
    if (goaway_ || state_ != state::established || version_ == 1) return;
    goaway_frame frame;
    frame.last_stream = highest_remote_;
    frame.code = static_cast<std::uint8_t>(code);
    frame.drain_ms = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(drain).count());
    frame.text = text;
    goaway_ = frame;
    if (attached_) queue_control(0, encode(frame));
}

void session::close(close_code code, std::error_code why, std::string_view text) {
    if (state_ == state::closed) return;
    if (attached_ && version_ >= 2) {
        close_frame frame;
        frame.code = static_cast<std::uint8_t>(code);
        frame.text = text;
        queue_control(0, encode(frame));
    }
    state_ = state::closed;
    error_ = why;
    end_all_streams(why);
    refusals_.clear();
    discarding_.clear();
    replay_.clear();
    emit(event::kind::closed, nullptr, why);
}

void session::fail(errc why) {
    const auto error = make_error_code(why);
    const bool flood = why >= errc::flood_of_resets && why <= errc::flood_of_refusals;
    close(flood ? close_code::flood : close_code::protocol_error, error, error.message());
}

void session::on_link_lost(std::error_code why, instant now) {
    now_ = now;
    if (!attached_) return;
    attached_ = false;
    awaiting_start_ = false;
    partial_since_.reset();
    frames_left_ = false;
    outbox_.clear();
    replay_.stop_replay();
    if (state_ == state::closed) return;
    if (!resumable()) return close(close_code::normal, why, why.message());
    emit(event::kind::detached, nullptr, why);
}

} // namespace muxsocks
