// Streams as their owners see them, and the memory that they hold.

#include "protocol/session/session.hpp"

#include <algorithm>
#include <cassert>

namespace muxsocks {
namespace {

/// Session-level frames that wait on a link, in bytes; with more of them notices are left out.
constexpr std::size_t notices_waiting_max = 16 * 1024;

} // namespace

stream& session::open(bytes_view request, void* context) {
    // Version 1 knows no credit; in version 2 it is known when the stream's turn comes.
    auto& s = streams_.make(0, pacing_.first_window(), now_);
    ++statistics_.streams_opened;
    s.context = context;
    s.request_done = true;
    s.own.append(request);
    if (!accepts_opens() && !accepts_late_opens()) {
        end_stream(s, state_ == state::closed ? std::error_code(errc::closed_locally)
                                              : std::error_code(errc::going_away));
        return s;
    }
    s.queued = stream::queue::opening;
    waiting_.opening.push(s);
    ++waiting_.opening_count;
    wake();
    return s;
}

bool session::accepts_opens() const {
    return state_ != state::closed && !goaway_received_ && !ids_.exhausted();
}

bool session::accepts_late_opens() const {
    return state_ != state::closed && goaway_received_ && goaway_ && !ids_.exhausted() &&
           ids_.next() <= goaway_->last_stream;
}

void session::write(stream& s, bytes_view bytes) {
    if (s.closed || s.rst_wanted || s.fin_wanted) return;
    s.own.append(bytes);
    schedule(s);
}

void session::refuse(stream& s, bytes_view reply) {
    write(s, reply);
    s.request_done = true;
    s.fin_wanted = true;
    s.readable = false;
    s.discarding = true;
    drop_unread(s);
    schedule(s);
    s.released = true;
    drop_if_released(s);
}

void session::notify(stream* about, const notice_frame& told) {
    if (!established() || !agreed().notices || client()) return;
    // It goes by the link of the reply that follows, so that it comes in front of it.
    const auto l = about ? home(*about) : links_.small();
    if (!l || (about && !about->opened()) || l->outbox.size() > notices_waiting_max) return;
    queue_control(*l, about ? about->id : 0, encode(told));
    wake();
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
        waiting_.take_out_opening(s);
        s.closed = true;
        s.own.clear();
        drop_if_released(s);
        return;
    }
    unschedule(s);
    // Last words are to arrive in front of it: RST closes at once, whatever is missing.
    const bool words = s.discarding || (!client() && (!s.own.empty() || s.own_last));
    s.readable = false;
    s.fin_wanted = false;
    s.discarding = true;
    s.rst_wanted = true;
    ++waiting_.resetting;
    s.rst_code = code;
    if (!s.end) s.end = error_of(code);
    drop_unread(s);
    s.rst_waits = words && !broken(broken_rule::rst_overtakes_words);
    if (!s.rst_waits || !s.own.empty() || s.unacked == 0) list_reset(s);
}

void session::end_streams(reset_code code) {
    for_each_stream([this, code](stream& s) {
        if (s.closed || s.rst_wanted) return;
        s.end = error_of(code);
        reset(s, code);
        emit(event::kind::reset, &s, s.end);
    });
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

void session::consume(stream& s, std::size_t bytes, instant now) {
    if (bytes == 0) return;
    assert(bytes <= s.unread_bytes());
    batch_.consume(s, bytes);
    if (s.unread.size() <= version_one::unread_max) end_v1_pause(s);
    s.recv.on_consumed(bytes);
    s.moved = std::max(now, now_);
    if (!s.closed && !s.ends_at_top && version_ >= 2) {
        if (pacing_.may_grow() && memory_.grow(s, now_, links_.rtt(), pacing_.held_up(s)))
            ++statistics_.windows_grown;
        if (pacing_.paces_credit())
            pacing_.on_consumed(s);
        else if (s.recv.credit_due())
            list_credit(s);
    }
    recharge(s);
}

// ---- Ends of streams

void session::close_stream(stream& s) {
    if (s.closed) return;
    s.closed = true;
    pacing_.on_end(s);
    unschedule(s);
    if (s.queued == stream::queue::opening) waiting_.take_out_opening(s);
    waiting_.take_out_reset(s);
    s.queued = stream::queue::none;
    for (const auto& l : links_)
        l->ready.forget(s);
    if (s.opened()) {
        streams_.table.erase(s);
        const bool early = broken(broken_rule::place_freed_early);
        if (client() && s.unacked > 0 && !early) ids_.close_later(s.id, s.unacked);
    }
    s.readable = false;
    if (std::exchange(s.rst_wanted, false)) --waiting_.resetting;
    s.own.clear();
    s.beyond.clear();
    end_v1_pause(s);
    recharge(s);
    wake(); // There may be a place for another one.
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
    wake();
}

void session::drop_if_released(stream& s) {
    if (!s.released || !s.closed || s.dead) return;
    drop_unread(s);
    streams_.bury(s);
}

void session::end_all_streams(std::error_code why) {
    for (const auto& l : links_)
        l->ready.clear();
    waiting_.clear();
    streams_.for_each([&](stream& s) {
        s.queued = stream::queue::none;
        if (!s.closed) end_stream(s, why);
    });
}

void session::fault(stream& s, reset_code code, errc why) {
    if (s.closed || s.rst_wanted) return;
    if (!client() && code != reset_code::shed && !flood_.resets.take(now_))
        return fail(errc::flood_of_resets);
    s.end = why;
    reset(s, code);
    if (!s.released) emit(event::kind::reset, &s, why);
}

// ---- Memory

void session::recharge(stream& s) {
    const auto before = s.charged;
    while (!memory_.recharge(s)) {
        auto victim = most_held(now_ - stream_memory::stalled_after);
        if (!victim) victim = most_held();
        shed(victim ? *victim : s);
    }
    if (s.charged < before) unblock();
}

bool session::hold_outside(stream& s, std::size_t bytes, instant now, instant since) {
    // After its end it waits for that to be told.
    if (s.closed || s.rst_wanted) bytes = 0;
    const auto counted = static_cast<std::uint32_t>(std::min<std::size_t>(bytes, UINT32_MAX));
    if (counted == s.outside) return false;
    now_ = std::max(now_, now);
    // It has moved until then, the other way perhaps.
    if (s.outside == 0) s.moved = std::max(s.moved, since);
    memory_.set_outside(s, counted);
    recharge(s);
    wake();
    return true;
}

stream* session::most_held(instant moved_before) const {
    stream* most = nullptr;
    streams_.for_each([&](stream& s) {
        const auto held = stream_memory::held(s);
        if (held == 0 || s.moved > moved_before) return;
        if (!most || held > stream_memory::held(*most)) most = &s;
    });
    return most;
}

void session::shed(stream& s) {
    ++statistics_.shed;
    received_batch::forget(s);
    memory_.drop(s);
    s.end = errc::stream_shed;
    if (!s.closed && !s.rst_wanted) reset(s, reset_code::shed);
    if (!s.released) emit(event::kind::reset, &s, errc::stream_shed);
    wake();
}

std::size_t session::most_stalled(instant now) const {
    if (account_.charged() == 0) return 0;
    const auto s = most_held(now - stream_memory::stalled_after);
    return s ? stream_memory::held(*s) : 0;
}

void session::shed_most_stalled(instant now) {
    now_ = now;
    if (const auto s = most_held(now - stream_memory::stalled_after)) shed(*s);
}

void session::drop_unread(stream& s) {
    received_batch::forget(s);
    // What a refused stream's peer has said beyond a gap is known until its end.
    if (s.discarding && !s.rst_wanted && !s.closed) {
        s.unread.clear();
        recharge(s);
    } else {
        memory_.drop(s);
    }
    unblock();
    end_v1_pause(s);
}

void session::end_v1_pause(stream& s) {
    if (!v1_.forgive(s)) return;
    for (const auto& l : links_)
        l->alive.forgive(now_);
    wake();
}

} // namespace muxsocks
