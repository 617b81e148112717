#include "protocol/link/loop/deadlines.hpp"

namespace muxsocks {

void deadline::expires_at(clock::time_point when) {
    cancel();
    when_ = when;
    owner_.insert(*this);
}

void deadline::expires_after(clock::duration delay) { expires_at(clock::now() + delay); }

void deadline::cancel() noexcept {
    if (is_linked()) unlink();
}

deadlines::deadlines(asio::io_context& context)
    : timer_(context.get_executor()), alive_(std::make_shared<deadlines*>(this)) {}

deadlines::~deadlines() {
    *alive_ = nullptr;
    sorted_.clear();
}

void deadlines::insert(deadline& one) {
    sorted_.insert(one);
    wait_for_first();
}

void deadlines::wait_for_first() {
    if (sorted_.empty() || sorted_.begin()->when_ >= waits_for_) return;
    waits_for_ = sorted_.begin()->when_;
    timer_.expires_at(waits_for_);
    timer_.async_wait([alive = alive_](const boost::system::error_code& error) {
        // A timer that was moved calls the old wait's handler, with operation_aborted.
        if (!error && *alive != nullptr) (*alive)->on_timer();
    });
}

void deadlines::on_timer() {
    // A wait that had already expired when the timer was moved arrives without an error.
    if (deadline::clock::now() < waits_for_) return;
    waits_for_ = deadline::clock::time_point::max();
    const std::shared_ptr<deadlines*> alive = alive_;
    // `now` stands still: what an expiry sets anew is for the timer's next turn.
    const auto now = deadline::clock::now();
    while (*alive != nullptr && !sorted_.empty() && sorted_.begin()->when_ <= now) {
        deadline& due = *sorted_.begin();
        due.unlink();
        due.on_expiry_();
    }
    if (*alive != nullptr) wait_for_first();
}

} // namespace muxsocks
