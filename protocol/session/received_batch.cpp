#include "protocol/session/received_batch.hpp"

#include <algorithm>

namespace muxsocks {

void received_batch::add(stream& s, bytes_view bytes) {
    if (bytes.empty()) return;
    const auto index = static_cast<std::int32_t>(views_.size());
    views_.push_back({bytes, -1});
    if (s.last_view >= 0)
        at(s.last_view).next = index;
    else
        s.first_view = index;
    s.last_view = index;
    s.view_bytes += bytes.size();
}

void received_batch::add_held(stream& s, pieces::bytes piece) {
    if (piece.empty()) return;
    held_.push_back(std::move(piece));
    add(s, held_.back());
}

void received_batch::announce(stream& s) {
    touch(s);
    if (s.announced) return;
    s.announced = true;
    emit({event::kind::readable, &s});
}

std::size_t received_batch::peek(const stream& s, std::span<bytes_view> views) const {
    auto used = s.unread.peek(views);
    // The queue may hold more than fits: its bytes come before those of the batch.
    for (auto index = s.first_view; index >= 0 && used < views.size(); index = at(index).next)
        views[used++] = at(index).bytes;
    return used;
}

void received_batch::consume(stream& s, std::size_t bytes) {
    const auto queued = std::min(bytes, s.unread.size());
    if (queued > 0) s.unread.consume(queued);
    for (auto rest = bytes - queued; rest > 0;) {
        auto& oldest = at(s.first_view);
        const auto part = std::min(rest, oldest.bytes.size());
        oldest.bytes = oldest.bytes.subspan(part);
        s.view_bytes -= part;
        rest -= part;
        if (oldest.bytes.empty()) s.first_view = oldest.next;
    }
    if (s.view_bytes == 0) forget(s);
}

std::optional<event> received_batch::next_event() {
    while (events_taken_ < events_.size()) {
        const auto& oldest = events_[events_taken_++];
        // A released stream has no owner to tell.
        if (!oldest.subject || !oldest.subject->released) return oldest;
    }
    events_.clear();
    events_taken_ = 0;
    return {};
}

} // namespace muxsocks
