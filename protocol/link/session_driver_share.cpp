// A session's share of a round of the event loop: how much it does before others have their turn.

#include "protocol/link/session_driver.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <utility>

namespace muxsocks {
namespace {

/// Frames that are taken, and sockets that are read, between two looks at the clock; a system call
/// for each.
constexpr std::size_t frames_at_once = 32;
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
    reads_until_ = at + thread_.share_of_round() / std::max<std::size_t>(links_.size(), 1);
    return at;
}

bool session_driver::may_read() const {
    return reads_ == 0 || reads_ % reads_at_once != 0 || now() < reads_until_;
}

void session_driver::take_frames_left() {
    if (std::exchange(frames_posted_, true)) return;
    thread_.on_wait();
    asio::post(thread_.context(), [self = driver_ptr(this)] {
        self->thread_.on_waited();
        const auto until = now() + self->thread_.share_of_round();
        do {
            std::vector<link_ptr> waiting;
            for (const auto& each : self->links_)
                if (self->frames_left(each)) waiting.push_back(each.on);
            for (const auto& each : waiting)
                if (self->find(*each)) each->deliver_again();
        } while (self->any_frames_left() && now() < until);
        self->frames_posted_ = false;
        for (const auto& each : self->links_)
            each.on->on_frames_left(self->frames_left(each));
        if (self->any_frames_left()) self->take_frames_left();
    });
}

bool session_driver::frames_left(const driven& on) const {
    return on.on->is_open() && session_.frames_left(on.number);
}

bool session_driver::any_frames_left() const {
    return std::ranges::any_of(links_, [this](const driven& each) { return frames_left(each); });
}

} // namespace muxsocks
