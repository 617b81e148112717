#include "server/dial_places.hpp"

namespace muxsocks::server {

bool dial_places::take_or_wait(waiter& who) {
    const std::lock_guard lock(mutex_);
    if (taken_ < count_) {
        ++taken_;
        return true;
    }
    if (!who.in_line) line_.push_back(&who);
    who.in_line = true;
    return false;
}

bool dial_places::give(waiter* who) {
    const std::lock_guard lock(mutex_);
    if (line_.empty()) {
        --taken_;
        return false;
    }
    // Handed over, so that nobody who comes now is served before.
    waiter& next = *line_.front();
    line_.pop_front();
    next.in_line = false;
    if (&next == who) return true;
    next.on_place();
    return false;
}

void dial_places::leave_line(waiter& who) {
    const std::lock_guard lock(mutex_);
    if (who.in_line) std::erase(line_, &who);
    who.in_line = false;
}

} // namespace muxsocks::server
