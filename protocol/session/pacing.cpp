#include "protocol/session/pacing.hpp"

#include "protocol/session/session.hpp"

#include <utility>

namespace muxsocks {

void pacing::set(pace* reads, pace* credits) {
    reads_ = reads;
    const bool was = std::exchange(credits_, credits) != nullptr;
    session_.memory_.set_first_window(window());
    if (was != paces_credit()) {
        for (const auto s : std::exchange(waiting_, {}))
            s->credit_paced = false;
        session_.streams_.for_each([this](stream& s) {
            s.recv.set_paced(paces_credit());
            const auto first = window();
            s.recv.set_window(paces_credit() ? std::min(s.recv.window(), first)
                                             : std::max(s.recv.window(), first),
                              session_.now_);
            session_.recharge(s);
            if (s.closed || s.ends_at_top || session_.version_ < 2) return;
            if (paces_credit())
                (void)list(s);
            else if (s.recv.credit_due())
                session_.list_credit(s);
        });
    }
    grant();
    session_.wake();
}

void pacing::on_pace(instant now) {
    session_.now_ = std::max(session_.now_, now);
    grant();
    session_.wake();
}

// ---- Reads

std::size_t pacing::waiting_reads() const {
    std::size_t count = 0;
    for (const auto& l : session_.links_)
        if (l->up()) count += l->ready.count() + (l->datagrams.empty() ? 0 : 1);
    return count;
}

void pacing::want_reads() { reads_->want(session_.now_); }

// ---- Credit

std::uint64_t pacing::window() const {
    const std::uint64_t initial = session_.settings_.initial_window;
    if (!credits_) return initial;
    // Some milliseconds of a fast rate, some KiB of a slow one.
    return std::clamp<std::uint64_t>(std::min<std::uint64_t>(credits_->at_once(), initial) * 4,
                                     session_.settings_.unasked_window, initial);
}

receive_window pacing::first_window() const {
    return {session_.memory_.first_window(), session_.settings_.unasked_window};
}

bool pacing::held_up(const stream& s) const { return credits_ && s.recv.used_up(); }

void pacing::on_received(const stream& s, std::size_t bytes) {
    if (!credits_) return;
    // What needed no grant counts as it comes, the rest was counted when it was granted.
    const auto unasked = s.recv.unasked();
    const auto from = std::min(s.recv.received(), unasked);
    credits_->spend(static_cast<std::size_t>(std::min(s.recv.received() + bytes, unasked) - from));
}

void pacing::on_ignored(std::size_t bytes) {
    if (credits_) credits_->spend(bytes);
}

bool pacing::take_datagram(std::size_t bytes) {
    if (!credits_) return true;
    if (!credits_->open_for_small()) credits_->want(session_.now_);
    if (!credits_->open_for_small()) return false;
    credits_->spend(bytes);
    return true;
}

void pacing::on_consumed(stream& s) {
    if (list(s)) grant();
}

void pacing::on_end(stream& s) {
    if (credits_) credits_->give_back(static_cast<std::size_t>(s.recv.take_unused(s.top)));
}

bool pacing::list(stream& s) {
    const auto worth = std::min<std::uint64_t>(credits_->at_once(), s.recv.window() / 4);
    if (s.credit_paced || s.closed || s.recv.ungranted() < worth) return false;
    s.credit_paced = true;
    waiting_.push_back(&s);
    return true;
}

void pacing::grant() {
    while (credits_ && !waiting_.empty()) {
        if (!credits_->open()) credits_->want(session_.now_);
        if (!credits_->open()) return;
        auto& s = *waiting_.front();
        waiting_.pop_front();
        s.credit_paced = false;
        if (s.closed || s.rst_wanted || s.ends_at_top) continue;
        const auto part = std::min<std::uint64_t>(s.recv.ungranted(), credits_->at_once());
        s.recv.allow(part);
        credits_->spend(static_cast<std::size_t>(part));
        session_.list_credit(s);
        (void)list(s);
    }
}

} // namespace muxsocks
