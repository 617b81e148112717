#include "protocol/session/pacing.hpp"

#include "protocol/session/session.hpp"

#include <utility>

namespace muxsocks {

void pacing::set(pace* reads, pace* credits) {
    reads_ = reads;
    const bool was = std::exchange(credits_, credits) != nullptr;
    if (was != paces_credit()) {
        for (const auto s : std::exchange(waiting_, {}))
            s->credit_paced = false;
        session_.streams_.for_each([this](stream& s) {
            s.recv.set_paced(paces_credit());
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

void pacing::on_received(const stream& s, std::size_t bytes) {
    if (!credits_) return;
    // What needs no grant of ours counts as it comes, the rest was counted when it was granted.
    const std::uint64_t initial = session_.settings_.initial_window;
    const auto from = std::min(s.recv.received(), initial);
    credits_->spend(static_cast<std::size_t>(std::min(s.recv.received() + bytes, initial) - from));
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
