// The session's life, time, and ends.

#include "protocol/session/session.hpp"

#include <algorithm>

namespace muxsocks {

session::session(session_settings settings, instant now)
    : settings_(std::move(settings)),
      account_(settings_.session_memory, settings_.budget),
      kept_memory_(*settings_.pool, account_),
      again_(kept_memory_),
      proofs_(settings_.crypto),
      handshake_(settings_, proofs_),
      flood_(settings_.flood),
      ids_(settings_.side == role::client),
      memory_(account_,
              std::min<std::uint64_t>(settings_.initial_window, settings_.stream_window_max),
              settings_.stream_window_max),
      first_seen_(settings_.first_frame_seen),
      now_(now) {
    settings_.initial_window = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(settings_.initial_window, settings_.stream_window_max));
    settings_.unasked_window = std::min(settings_.unasked_window, settings_.initial_window);
}

session::~session() {
    // What is still charged (unread bytes) goes with the account.
    again_.clear();
    links_.clear();
}

void session::end_batch() {
    batch_.end(now_, [this](stream& s) {
        recharge(s);
        if (version_ == 1) v1_.look(s, now_);
    });
    datagrams_.end_batch();
    make_room_for_joined();
    reap();
}

void session::reap() {
    // Streams are deleted only where no event, view or list can name them.
    if (!streams_.has_dead() || !batch_.idle() || turn_.open()) return;
    const auto is_dead = [](const stream* s) { return s->dead; };
    std::erase_if(waiting_.credits, is_dead);
    pacing_.forget(is_dead);
    memory_.forget(is_dead);
    streams_.sweep();
}

notice_frame session::take_notice() {
    if (notices_.empty()) return {};
    auto oldest = std::move(notices_.front());
    notices_.pop_front();
    return oldest;
}

// ---- Time

std::optional<instant> session::deadline() const {
    std::optional<instant> first;
    const auto add = [&first](std::optional<instant> at) {
        if (at && (!first || *at < *first)) first = at;
    };
    add(memory_.deadline());
    if (state_ == state::closed) return first;
    add(attached_.deadline());
    add(handshake_.deadline());
    add(v1_.deadline());
    if (!waiting_.paced_resets.empty() && waiting_.resets_paced(now_))
        add(waiting_.resets_paced_until);
    const bool several = links_.up_count() > 1;
    for (const auto& l : links_) {
        if (!l->up()) {
            add(l->begun + settings_.handshake_timeout);
            continue;
        }
        if (handshake_.done() && !v1_.paused()) {
            add(l->alive.deadline());
            add(l->acks.deadline());
        }
        if (l->partial_since) add(*l->partial_since + settings_.frame_timeout);
        add(l->brought.deadline());
        if (l->blocked) add(l->blocked_retry);
        if (several && l->unanswered_since && !l->asked_at)
            add(*l->unanswered_since + patience(*l));
        if (several && l->asked_at && l->others_answered && !l->avoided) add(l->avoid_from);
    }
    return first;
}

void session::on_deadline(instant now) {
    now_ = now;
    memory_.on_deadline(now);
    if (state_ == state::closed) return;
    while (const auto id = attached_.next_due(now)) {
        const auto s = streams_.table.find(*id);
        if (s && s->discarding && !s->rst_wanted) reset(*s, reset_code::cancelled);
    }
    if (const auto at = handshake_.deadline(); at && now >= *at)
        return fail(errc::handshake_timeout);
    if (const auto at = v1_.deadline(); at && now >= *at) {
        for (const auto s : v1_.time_out())
            fault(*s, reset_code::shed, errc::stream_shed);
        if (!v1_.paused())
            for (const auto& l : links_)
                l->alive.forgive(now);
    }
    std::vector<std::pair<link_number, errc>> lost;
    for (const auto& l : links_) {
        if (!l->up()) {
            if (now >= l->begun + settings_.handshake_timeout)
                lost.emplace_back(l->number, errc::handshake_timeout);
            continue;
        }
        l->brought.on_deadline(now);
        if (l->blocked && now >= l->blocked_retry) {
            l->blocked = false;
            l->kept.grow(now, l->alive.rtt());
        }
        // A link that crawls is given up like one that is silent; the session goes on elsewhere.
        if (l->partial_since && now >= *l->partial_since + settings_.frame_timeout)
            lost.emplace_back(l->number, errc::frame_timeout);
        if (!handshake_.done() || v1_.paused()) continue;
        l->alive.update(now);
        if (l->alive.dead(now)) lost.emplace_back(l->number, errc::keepalive_timeout);
        if (l->acks.ask_due(now)) {
            l->acks.on_asked(now);
            l->alive.ask();
        }
        if (l->acks.withheld(now)) lost.emplace_back(l->number, errc::acks_withheld);
    }
    for (const auto& [number, why] : lost)
        if (const auto l = links_.find(number)) lose(*l, why, false);
    doubt_links();
    wake();
}

void session::probe() {
    for (const auto& l : links_)
        if (l->up() && handshake_.done()) l->alive.probe();
    wake();
}

instant session::last_heard() const {
    instant latest{};
    for (const auto& l : links_)
        if (l->up()) latest = std::max(latest, l->alive.last_heard());
    return latest;
}

instant session::last_heard(link_number link) const {
    const auto l = links_.find(link);
    return l ? l->alive.last_heard() : instant{};
}

bool session::owes_answer(link_number link) const {
    const auto l = links_.find(link);
    return l && l->up() && (!l->kept.empty() || l->alive.awaits_pong());
}

void session::on_path(link_number link, instant received, instant arrived) {
    if (const auto l = links_.find(link)) l->alive.on_path(received, arrived);
}

std::optional<instant> session::unanswered_since() const {
    std::optional<instant> first;
    for (const auto& l : links_)
        if (l->unanswered_since && (!first || *l->unanswered_since < *first))
            first = l->unanswered_since;
    return first;
}

void session::set_keepalive(const keepalive_timing& timing) {
    settings_.keepalive = timing;
    for (const auto& l : links_)
        l->alive.set(timing);
    wake();
}

// ---- Ends

void session::go_away(close_code code, duration drain, std::string_view text, bool takes_late) {
    if (goaway_ || !established() || version_ == 1) return;
    goaway_frame frame;
    frame.last_stream = takes_late ? goaway_frame::any_stream : ids_.highest();
    frame.code = static_cast<std::uint8_t>(code);
    frame.drain_ms = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(drain).count());
    frame.text = text;
    goaway_ = frame;
    goaway_due_ = true;
    wake();
}

void session::close(close_code code, std::error_code why, std::string_view text,
                    std::uint16_t detail) {
    if (state_ == state::closed) return;
    if (version_ >= 2) {
        close_frame frame;
        frame.code = static_cast<std::uint8_t>(code);
        frame.detail = detail;
        frame.text = text;
        const auto payload = encode(frame);
        for (const auto& l : links_) {
            if (handshake_.at() == handshake::step::start) break;
            queue_control(*l, 0, payload);
            if (broken(broken_rule::close_by_one_link)) break;
        }
    }
    finish_session(why);
}

void session::finish_session(std::error_code why) {
    state_ = state::closed;
    error_ = why;
    end_all_streams(why);
    attached_.clear();
    ids_.clear();
    again_.clear();
    links_.forget_drops();
    v1_.clear();
    goaway_due_ = false;
    // What a turn that is being laid goes to is cleared with it.
    for (const auto& l : links_)
        if (turn_.link() != l.get()) l->kept.clear();
    emit(event::kind::closed, nullptr, why);
    wake();
}

void session::fail(errc why) {
    const auto error = make_error_code(why);
    const bool flood = why >= errc::flood_of_resets && why <= errc::flood_of_refusals;
    close(flood ? close_code::flood : close_code::protocol_error, error, error.message(),
          static_cast<std::uint16_t>(why));
}

bool session::brings_nothing() const {
    return streams_.table.size() == 0 && waiting_.opening_count == 0 && again_.empty() &&
           std::all_of(links_.begin(), links_.end(),
                       [](const auto& l) { return l->kept.empty() && l->copies.empty(); });
}

bool session::may_end() const {
    if (streams_.table.size() > 0 || waiting_.opening_count > 0 || ids_.missing() > 0) return false;
    if (broken(broken_rule::ended_early)) return true;
    if (!waiting_.refusals.empty() || goaway_due_ || links_.has_drops() || !again_.empty())
        return false;
    return std::all_of(links_.begin(), links_.end(),
                       [](const auto& l) { return l->kept.empty() && l->copies.empty(); });
}

} // namespace muxsocks
