// The links that a session has beside the one that the policy watches.

#include "client/link_supervisor.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/values.hpp"

#include <algorithm>

namespace muxsocks::client {

std::size_t link_supervisor::links() const {
    std::size_t count = 0;
    if (driver_) driver_->for_each_link([&](link_number, const link&) { ++count; });
    return count;
}

void link_supervisor::on_notice(session_driver&, const stream* about, const notice_frame& told) {
    const auto again =
        told.retry_after_s > 0 ? fmt::format("; again in {} s", told.retry_after_s) : std::string();
    if (about)
        log::debug("stream {}: {} says: {}{}", about->id, name_, log::escape(told.text), again);
    else
        log::warning("{} says: {}{}", name_, log::escape(told.text), again);
}

// ---- Where

host_port link_supervisor::address_to_dial() const {
    if (!driver_ || !driver_->core().resumable() || avoid_join_at_) return server_.address;
    return parse_host_port(driver_->core().agreed().join_at).value_or(server_.address);
}

bool link_supervisor::at_join_address() const {
    return driver_ && address_to_dial() != server_.address;
}

// ---- How they come

void link_supervisor::on_link_wanted(session_driver& from) {
    const bool calm = policy_.link() == link_policy::link_state::up && !policy_.dialling();
    if (driver_.get() != &from || retired_ || extra_.under_way() || !calm) return;
    from.on_dial();
    dial_extra();
}

void link_supervisor::dial_extra() {
    const auto at = address_to_dial();
    log::debug("link to {}: a further one would help, dialling it at {}", name_, to_string(at));
    extra_.dial(recipe_, server_, at, policy_.segment_bytes());
}

void link_supervisor::on_extra_secured(link_ptr up) {
    if (driver_ && driver_->core().resumable() && !driver_->joining())
        driver_->join_on(std::move(up));
    else {
        up->abort();
        end_extra(link_demand::dial_end::failed);
    }
}

void link_supervisor::on_extra_failed(const std::string& text, bool joining) {
    log::debug("another link to {} failed: {}", name_, text);
    if (joining && driver_) driver_->stop_joining();
    if (at_join_address()) {
        avoid_join_at_ = true;
        return dial_extra();
    }
    end_extra(link_demand::dial_end::failed);
}

void link_supervisor::abandon_extra() {
    if (!extra_.under_way()) return;
    if (extra_.joining() && driver_) driver_->stop_joining();
    extra_.abandon();
    end_extra(link_demand::dial_end::failed);
}

void link_supervisor::end_extra(link_demand::dial_end how) {
    extra_.on_answer();
    avoid_join_at_ = false;
    if (driver_) driver_->on_dial_ended(how);
}

// ---- How they go

void link_supervisor::on_link_gone(session_driver& from, link_number gone, std::error_code why,
                                   const std::string& text) {
    if (driver_.get() != &from) return;
    if (why == errc::link_replaced || why == errc::link_given_up)
        log::debug("a link to {} is closed: {}; {} in all", name_, text, links());
    else
        log::info("a link to {} has ended: {}; {} others carry the session", name_, text, links());
    if (gone != watched_) return;
    driver_->for_each_link([this](link_number number, const link&) { watched_ = number; });
    carry_out(policy_.on_other_link(facts(), std::chrono::steady_clock::now()));
}

} // namespace muxsocks::client
