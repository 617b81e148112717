#include "protocol/session/stream_memory.hpp"

#include <algorithm>

namespace muxsocks {

std::size_t stream_memory::wanted(const stream& s) const {
    // The greater of what is held and what is promised beyond the initial window.
    std::uint64_t held = s.unread.capacity() + s.beyond.cost();
    if (s.grown && !s.closed && !s.fin_received && !s.discarding) {
        const auto limit = std::max(s.recv.announced(), s.recv.consumed() + s.recv.window());
        const auto promised = limit - s.recv.consumed();
        if (promised > initial_window_) held = std::max(held, promised - initial_window_);
    }
    return held + s.outside;
}

bool stream_memory::recharge(stream& s) {
    const auto now_held = wanted(s);
    if (now_held > s.charged && !account_.charge_or_relieve(now_held - s.charged)) return false;
    if (now_held < s.charged) account_.discharge(s.charged - now_held);
    s.charged = now_held;
    return true;
}

void stream_memory::drop(stream& s) {
    s.unread.clear();
    s.beyond.clear();
    set_outside(s, 0);
    if (s.charged > 0) account_.discharge(s.charged);
    s.charged = 0;
}

bool stream_memory::grow(stream& s, instant now, duration rtt, bool held_up) {
    const bool wanted = s.recv.wants_growth(now, rtt) || held_up;
    if (!wanted || s.recv.window() >= window_max_) return false;
    const auto grown = std::min(s.recv.window() * 2, window_max_);
    // The promise is charged before it is made.
    if (!account_.charge(grown - s.recv.window())) return false;
    s.charged += grown - s.recv.window();
    s.recv.set_window(grown, now);
    if (!s.grown) {
        if (grown_.empty()) sweep_at_ = now + std::chrono::seconds(5);
        s.grown = true;
        grown_.push_back(&s);
    }
    return true;
}

void stream_memory::restore(stream& s, instant now) {
    const bool promised = s.recv.announced() > s.recv.consumed() + initial_window_;
    if (s.closed || (s.recv.window() <= initial_window_ && !promised)) return;
    if (grown_.empty()) sweep_at_ = now + stalled_after;
    s.grown = true;
    grown_.push_back(&s);
}

void stream_memory::on_deadline(instant now) {
    if (grown_.empty() || now < sweep_at_) return;
    sweep_at_ = now + std::chrono::seconds(1);
    std::erase_if(grown_, [&](stream* s) {
        const bool over = s->closed || s->fin_received;
        if (!over && now - s->moved < stalled_after) return false;
        s->recv.set_window(first_window_, now);
        s->grown = !over && s->recv.announced() > s->recv.consumed() + initial_window_;
        recharge(*s); // It only becomes less.
        return !s->grown;
    });
}

} // namespace muxsocks
