// The links of a session: how they come and go, and which one takes what.

#include "protocol/link/session_driver.hpp"

#include <utility>

namespace muxsocks {

// ---- Links

session_driver::driven* session_driver::find(const link& one) {
    for (auto& each : links_)
        if (each.on.get() == &one) return &each;
    return nullptr;
}

session_driver::driven* session_driver::find(link_number number) {
    for (auto& each : links_)
        if (each.number == number) return &each;
    return nullptr;
}

void session_driver::take_in(link_ptr one, link_number number) {
    one->set_owner(*this);
    one->set_share(share_);
    links_.push_back({number, std::move(one)});
}

link_ptr session_driver::take_out(link_number number) {
    if (joining_ == number) joining_ = none;
    const auto found = find(number);
    if (!found) return {};
    auto taken = std::move(found->on);
    links_.erase(links_.begin() + (found - links_.data()));
    return taken;
}

link* session_driver::joining_link() const {
    for (const auto& each : links_)
        if (each.number == joining_) return each.on.get();
    return nullptr;
}

link* session_driver::current_link() const {
    for (auto each = links_.rbegin(); each != links_.rend(); ++each)
        if (each->number != joining_) return each->on.get();
    return nullptr;
}

std::size_t session_driver::start(link_ptr first, bytes_view received) {
    const driver_ptr self(this);
    const auto exporter = exporter_of(*first);
    take_in(std::move(first), 0);
    session_.on_link(exporter, now());
    settle();
    if (received.empty()) return 0;
    const auto used = take(links_.front(), received);
    settle();
    return used;
}

std::vector<std::uint8_t> session_driver::exporter_of(const link& on) const {
    return binds_ ? on.exporter() : std::vector<std::uint8_t>();
}

std::size_t session_driver::on_link_bytes(link& from, bytes_view bytes) {
    const driver_ptr self(this);
    const auto found = find(from);
    if (!found) return bytes.size();
    const auto number = found->number;
    const auto used = take(*found, bytes);
    if (!session_.frames_left(number)) from.on_frames_left(false);
    settle();
    return used;
}

void session_driver::on_link_writable(link& from) {
    const driver_ptr self(this);
    const auto found = find(from);
    if (!found || last_words_.is_set()) return;
    if (!share_->may_begin()) return wake();
    const round_share::use in_use(*share_);
    turn(found->number, from);
    settle();
}

void session_driver::on_link_down(link& from, std::error_code error, const std::string& text) {
    const driver_ptr self(this);
    const auto found = find(from);
    if (!found) return;
    const auto number = found->number;
    const bool joining = number == joining_;
    take_out(number);
    if (!joining) down_text_ = text;
    session_.on_link_lost(number, error, now());
    settle();
    if (!delegate_) return;
    if (joining) return delegate_->on_join_lost(*this, error, text);
    tell_gone(number, error, text);
}

link_number session_driver::join_on(link_ptr next) {
    stop_joining();
    const auto number = session_.join(exporter_of(*next), now());
    take_in(std::move(next), number);
    joining_ = number;
    settle();
    return number;
}

void session_driver::stop_joining() {
    const auto number = joining_;
    if (const auto stopped = take_out(number)) {
        stopped->abort();
        session_.on_link_lost(number, errc::link_lost, now());
    }
}

void session_driver::give_up(link_number number, std::error_code why) {
    const driver_ptr self(this);
    const auto gone = take_out(number);
    if (!gone) return;
    gone->abort();
    session_.on_link_lost(number, why, now());
    settle();
    tell_gone(number, why, why.message());
}

void session_driver::tell_gone(link_number number, std::error_code why, std::string text) {
    if (steering_) steer();
    if (delegate_ && session_.attached()) delegate_->on_link_gone(*this, number, why, text);
}

const link* session_driver::find_link(link_number number) const {
    for (const auto& each : links_)
        if (each.number == number) return each.on.get();
    return nullptr;
}

std::optional<join_fail_frame> session_driver::join(link_ptr next, const join_frame& frame,
                                                    bytes_view behind, std::size_t& used,
                                                    bool room) {
    const driver_ptr self(this);
    used = 0;
    const auto failure = session_.on_join(frame, exporter_of(*next), now(), room);
    if (failure) return failure;
    take_in(std::move(next), frame.number);
    // Before the batch ends: which links the client has given up stands directly behind JOIN.
    used = take(links_.back(), behind);
    settle();
    if (steering_) steer();
    return {};
}

// ---- Which link takes what

void session_driver::begin_steering() {
    if (session_.agreed().max_links > 1 && links_max_ != 1)
        steering_ = std::make_unique<link_steering>(
            std::min<unsigned>(session_.agreed().max_links, links_max_));
}

/// With one link only bulk is a reason to look.
bool session_driver::worth_a_look() const {
    return links_.size() > 1 || moved() - moved_at_look_ >= bulk_watch::worth_bytes;
}

void session_driver::steer_soon() {
    look_soon_ = true;
    look_.expires_after(link_steering::interval);
}

void session_driver::steer() {
    const driver_ptr self(this);
    look_soon_ = false;
    moved_at_look_ = moved();
    if (session_.closed()) return look_.cancel();
    auto& choice = steering_->choice();
    steering_->look(
        session_,
        [this](link_number number) -> link* {
            const auto found = find(number);
            return found ? found->on.get() : nullptr;
        },
        now());
    if (const auto at = choice.deadline())
        look_.expires_at(*at);
    else
        look_.cancel();
    if (const auto number = choice.to_close()) return give_up(*number, errc::link_given_up);
    if (choice.dial_due() && delegate_) delegate_->on_link_wanted(*this);
}

void session_driver::on_dial_ended(link_demand::dial_end how) {
    if (!steering_) return;
    steering_->choice().on_dial_ended(how, now());
    steer_soon();
}

} // namespace muxsocks
