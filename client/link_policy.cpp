#include "client/link_policy.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks::client {
namespace {

/// A handshake on a slow line may take so many times its limit while bytes come.
constexpr int handshake_limits_max = 4;
constexpr unsigned doublings_max = 8;
/// After so many links in a row that nothing came through the next one is still dialled at once.
constexpr unsigned fruitless_at_once = 2;

const char* text_of(link_watch::stall kind) {
    switch (kind) {
    case link_watch::stall::stuck:
        return "what was sent has not arrived for some seconds";
    case link_watch::stall::swallowed:
        return "large packets do not arrive there, though small ones come through";
    default:
        return "the server has been silent for some seconds";
    }
}

} // namespace

// ---- Dialling

link_policy::orders link_policy::begin_dial(instant now) {
    segments_.at_dial(now);
    dial_ = dial_state::connecting;
    orders out;
    out.dial = true;
    return out;
}

link_policy::orders link_policy::start(instant now) {
    if (dial_ != dial_state::idle || link_ != link_state::none) return {};
    return begin_dial(now);
}

void link_policy::hurry(instant now) {
    if (dial_ != dial_state::waiting || lasting_ || dial_again_ <= now + hurried) return;
    dial_again_ = now + jitter(hurried);
}

duration link_policy::jitter(duration most) {
    std::uniform_int_distribution<std::int64_t> within(0, most.count());
    return duration(within(random_));
}

void link_policy::wait(instant now) {
    dial_ = dial_state::waiting;
    dial_again_ = now + jitter(lasting_ ? std::max(back_off_, back_off_lasting) : back_off_);
    back_off_ = std::min(back_off_max, 2 * back_off_);
}

void link_policy::on_connected(instant now) {
    dial_ = dial_state::securing;
    step_begun_ = step_moved_ = now;
    step_limit_ = now + handshake_;
    step_path_ = {};
}

link_policy::orders link_policy::on_secured(bool resume, instant now) {
    segments_.on_secured(now);
    if (link_ == link_state::doubted && stall_ != link_watch::stall::none && trusts_again(now)) {
        link_ = link_state::up;
        dial_ = dial_state::idle;
        orders out;
        out.abandon = true;
        return out;
    }
    dial_ = resume ? dial_state::resuming : dial_state::beginning;
    step_begun_ = step_moved_ = now;
    step_limit_ = now + handshake_;
    return {};
}

link_policy::orders link_policy::on_dial_failed(failure kind, const path_facts* path, instant now) {
    ++failures_;
    lasting_ = kind == failure::lasting;
    if (kind == failure::passing && now >= step_limit_) learn_of_time_out(path, now);
    return on_not_resumable(now);
}

/// What a handshake that did not get through says about the next one.
void link_policy::learn_of_time_out(const path_facts* path, instant now) {
    if (dial_ == dial_state::securing) {
        // SYN went through and back; what came behind it did not.
        const bool certain = path && ((path->in_flight > 0 && path->timeouts > 0) ||
                                      path->out_of_order > 0 || path->received_bytes > 0);
        segments_.on_swallowed(certain);
    } else if (dial_ == dial_state::resuming) {
        // TLS came through; behind the answer to JOIN comes what was to be sent again.
        lower_segments(path ? path->segment : 0, now);
    }
}

void link_policy::lower_segments(std::uint32_t seen, instant now) {
    if (segments_.lowest())
        ++patience_steps_;
    else
        segments_.lower(seen, now);
}

link_policy::orders link_policy::on_not_resumable(instant now) {
    dial_ = dial_state::idle;
    // A second link that failed beside one that lives was worth one try.
    if (link_ == link_state::doubted && trusts_again(now)) link_ = link_state::up;
    if (link_ != link_state::up) wait(now);
    return {};
}

void link_policy::on_up(const progress_facts& at_first, instant now) {
    if (link_ != link_state::none) {
        // What the peer says that it has, it got over the link before.
        auto before = watch_.last();
        before.frames_acked = at_first.frames_acked;
        watch_.observe(before, now);
        note_end(now);
    } else if (lost_acked_ && at_first.frames_acked > *lost_acked_) {
        fruitless_ = 0;
        back_off_ = back_off_first;
    }
    lost_acked_.reset();
    link_ = link_state::up;
    dial_ = dial_state::idle;
    failures_ = 0;
    lasting_ = false;
    stall_ = link_watch::stall::none;
    watch_.begin(at_first, takes_over_, now);
    if (!useful_) useful_ = now;
}

// ---- The link

/// A link has ended, or another one takes over.
void link_policy::note_end(instant now) {
    const bool stalled = stall_ != link_watch::stall::none;
    takes_over_ = stalled;
    // Moved for a reason from outside: that says nothing of the link.
    if (link_ == link_state::doubted && !stalled && !watch_.progressed()) return;
    const bool good = watch_.progressed() || (!stalled && now - watch_.begun() >= standing);
    fruitless_ = good ? 0 : fruitless_ + 1;
    if (good) back_off_ = back_off_first;
}

link_policy::orders link_policy::on_link_lost(const progress_facts& at_last, instant now) {
    if (link_ == link_state::none) return {};
    watch_.observe(at_last, now);
    note_progress(now);
    note_end(now);
    lost_acked_ = at_last.frames_acked;
    link_ = link_state::none;
    if (dialling()) return {};
    // One that was cut as soon as it was up may have carried much that was not acknowledged yet.
    if (fruitless_ <= fruitless_at_once) return begin_dial(now);
    if (dial_ == dial_state::idle) wait(now);
    return {};
}

link_policy::orders link_policy::on_other_link(const progress_facts& at_first, instant now) {
    orders out;
    if (link_ == link_state::doubted) {
        out.abandon = dialling() && dial_ != dial_state::resuming;
        if (out.abandon || dial_ == dial_state::waiting) dial_ = dial_state::idle;
    }
    link_ = link_state::up;
    stall_ = link_watch::stall::none;
    watch_.begin(at_first, false, now);
    return out;
}

link_policy::orders link_policy::suspect(const char* why, instant now) {
    const bool under_way = dialling();
    if (link_ == link_state::none) {
        if (dial_ == dial_state::idle || dial_ == dial_state::beginning) return {};
        auto out = begin_dial(now);
        out.abandon = under_way;
        out.doubt = why;
        return out;
    }
    dial_ = dial_state::idle;
    auto out = doubt(why, link_watch::stall::none, now);
    out.abandon = under_way;
    return out;
}

link_policy::orders link_policy::doubt(const char* why, link_watch::stall stall, instant now) {
    link_ = link_state::doubted;
    doubted_ = now;
    stall_ = stall;
    auto out = resumable_ ? begin_dial(now) : orders{};
    out.probe = true;
    out.doubt = why;
    return out;
}

/// Whether a doubted link has shown that the doubt was wrong.
bool link_policy::trusts_again(instant now) const {
    if (watch_.judge(patience(), now) != link_watch::stall::none) return false;
    // That the peer's TCP has taken the PING says nothing of the way back.
    const bool sends = stall_ == link_watch::stall::stuck || stall_ == link_watch::stall::swallowed;
    return (sends ? watch_.moved() : watch_.received()) > doubted_;
}

duration link_policy::patience() const {
    if (patience_steps_ > 0)
        return std::min(patience_max,
                        patience_first * (1 << std::min(patience_steps_, doublings_max)));
    return takes_over_ && !watch_.progressed() ? patience_again : patience_first;
}

link_policy::orders link_policy::look(const progress_facts* link, const path_facts* dialled,
                                      instant now) {
    if (dialled) {
        if (dialled->acked_bytes != step_path_.acked_bytes ||
            dialled->received_bytes != step_path_.received_bytes)
            step_moved_ =
                std::max(step_moved_, now - std::min(dialled->since_ack, dialled->since_received));
        step_path_ = *dialled;
    }
    orders out;
    if (link && link_ != link_state::none) {
        watch_.observe(*link, now);
        note_progress(now);
        out = judge(now);
    }
    out.give_up = hopeless(now);
    return out;
}

void link_policy::note_progress(instant now) {
    if (watch_.useful() > *useful_) useful_ = watch_.useful();
    if (watch_.progressed()) {
        fruitless_ = 0;
        patience_steps_ = 0;
        segments_.on_progress();
    }
    if (watch_.progressed() || now - watch_.begun() >= standing) back_off_ = back_off_first;
}

link_policy::orders link_policy::judge(instant now) {
    orders out;
    if (link_ == link_state::doubted) {
        if (stall_ == link_watch::stall::none || !trusts_again(now)) return out;
        link_ = link_state::up;
        stall_ = link_watch::stall::none;
        out.abandon = dialling() && dial_ != dial_state::resuming;
        if (out.abandon || dial_ == dial_state::waiting) dial_ = dial_state::idle;
        return out;
    }
    if (dial_ != dial_state::idle || !resumable_) return out;
    const auto stall = watch_.judge(patience(), now);
    if (stall != link_watch::stall::none) {
        learn(stall, now);
        return doubt(text_of(stall), stall, now);
    }
    if (watch_.wants_probe(now)) {
        watch_.on_probe();
        out.probe = true;
    }
    return out;
}

/// What a link that stands still says about the next one.
void link_policy::learn(link_watch::stall kind, instant now) {
    // One that took over from another, and on which again nothing moves behind its small first
    // packets, tells more than one that moved before: that one may just be dead.
    const bool small_ones_pass =
        kind == link_watch::stall::swallowed || (takes_over_ && !watch_.progressed());
    if (small_ones_pass) lower_segments(watch_.last().path.segment, now);
}

bool link_policy::hopeless(instant now) const {
    return useful_ && session_limit_ != duration::max() && now - *useful_ > session_limit_;
}

// ---- Time

std::optional<instant> link_policy::deadline() const {
    if (dial_ == dial_state::waiting) return dial_again_;
    if (dial_ == dial_state::securing || dial_ == dial_state::resuming) return step_limit_;
    return {};
}

link_policy::orders link_policy::on_deadline(instant now) {
    const auto at = deadline();
    if (!at || now < *at) return {};
    if (dial_ == dial_state::waiting) return begin_dial(now);
    const auto last = step_begun_ + handshake_limits_max * handshake_;
    if (step_moved_ > now - handshake_ / 2 && now < last) {
        step_limit_ = std::min(last, step_moved_ + handshake_);
        return {};
    }
    orders out;
    out.time_out = true;
    return out;
}

} // namespace muxsocks::client
