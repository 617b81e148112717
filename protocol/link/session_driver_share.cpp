// A session's share of a round of the event loop: how much it does before others have their turn.

#include "protocol/link/session_driver.hpp"

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

/// Frames that are taken, and sockets that are read, between two looks at the clock; a system call
/// for each.
constexpr std::size_t frames_at_once = 16;
constexpr std::size_t reads_at_once = 8;

} // namespace

std::size_t session_driver::take(driven& from, bytes_view bytes) {
    const auto used = session_.on_bytes(from.number, bytes, now(), frames_at_once);
    from.kept_bytes = bytes.size() - used;
    return used;
}

std::size_t session_driver::held_by_links() const {
    std::size_t held = 0;
    for (const auto& each : links_)
        held += each.kept_bytes + each.on->output_held();
    return held;
}

instant session_driver::begin_reads() {
    const auto at = now();
    reads_ = 0;
    reads_until_ = at + share_->left() / std::max<int>(static_cast<int>(links_.size()), 1);
    return at;
}

bool session_driver::may_read() const {
    return reads_ == 0 || reads_ % reads_at_once != 0 || now() < reads_until_;
}

void session_driver::take_frames_left() {
    if (std::exchange(frames_posted_, true)) return;
    share_->later([self = driver_ptr(this)] { self->take_frames_until_over(); });
}

void session_driver::take_frames_until_over() {
    do {
        std::vector<link_ptr> waiting;
        for (const auto& each : links_)
            if (frames_left(each)) waiting.push_back(each.on);
        for (const auto& each : waiting)
            if (find(*each)) each->deliver_again();
    } while (any_frames_left() && share_->left() > duration::zero());
    frames_posted_ = false;
    for (const auto& each : links_)
        each.on->on_frames_left(frames_left(each));
    if (any_frames_left()) take_frames_left();
}

void session_driver::share_with(share_ptr with) {
    share_ = std::move(with);
    for (const auto& each : links_)
        each.on->set_share(share_);
}

bool session_driver::frames_left(const driven& on) const {
    return on.on->is_open() && session_.frames_left(on.number);
}

bool session_driver::any_frames_left() const {
    return std::ranges::any_of(links_, [this](const driven& each) { return frames_left(each); });
}

} // namespace muxsocks
