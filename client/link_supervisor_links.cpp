// How links join the session, and those that it has beside the one that the policy watches.

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
    if (about) {
        log::debug("stream {}: {} says: {}{}", about->id, name_, log::escape(told.text), again);
        if (about->context) static_cast<stream_owner*>(about->context)->on_notice(told);
    } else {
        log::warning("{} says: {}{}", name_, log::escape(told.text), again);
    }
}

// ---- Where

host_port link_supervisor::address_to_dial() const {
    if (!driver_ || !driver_->core().established() || avoid_join_at_) return server_.address;
    return parse_host_port(driver_->core().agreed().join_at).value_or(server_.address);
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
    extra_dialled_join_at_ = at != server_.address;
    log::debug("link to {}: a further one would help, dialling it at {}", name_, to_string(at));
    extra_.dial(recipe_, server_, at, policy_.segment_bytes());
}

void link_supervisor::on_extra_secured(link_ptr up) {
    if (driver_ && driver_->core().established() && !driver_->joining())
        driver_->join_on(std::move(up));
    else {
        up->abort();
        end_extra(link_demand::dial_end::failed);
    }
}

void link_supervisor::on_extra_failed(const std::string& text, bool joining) {
    log::debug("another link to {} failed: {}", name_, text);
    if (joining && driver_) driver_->stop_joining();
    if (extra_dialled_join_at_ && driver_) {
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

// ---- What becomes of JOIN

void link_supervisor::on_joined(session_driver&, link_number joined) {
    if (extra_.joining()) {
        end_extra(link_demand::dial_end::joined);
        return log::info("another link to {} is up, {} in all", name_, links());
    }
    // A link that has come meanwhile and is well has a place of its own.
    const bool doubted = policy_.link() != link_policy::link_state::up;
    const auto before = std::exchange(watched_, joined);
    on_up();
    const auto fruitless = policy_.fruitless();
    if (fruitless < fruitless_news)
        log::info("link to {} is back, {} streams go on", name_, load());
    else if (fruitless == fruitless_news)
        log::warning("links to {} come up one after the other and nothing comes through them; "
                     "trying on, less and less often",
                     name_);
    else
        log::debug("link to {} is back, {} streams wait to go on", name_, load());
    give_up_stale(doubted ? std::optional(before) : std::nullopt);
}

/// The new link takes the place of the one that was in doubt, and of those that have been as
/// silent.
void link_supervisor::give_up_stale(std::optional<link_number> replaced) {
    std::vector<link_number> stale;
    driver_->for_each_link([&](link_number number, const link&) {
        const bool silent = driver_->core().last_heard(number) < dial_begun_;
        if (number != watched_ && (silent || number == replaced)) stale.push_back(number);
    });
    const driver_ptr keep = driver_;
    for (const auto number : stale)
        keep->give_up(number, errc::link_replaced);
}

void link_supervisor::on_join_failed(session_driver& from, const join_fail_frame& failure,
                                     link_ptr with) {
    const bool unknown = failure.code == join_failure::unknown_session;
    if (extra_.joining()) {
        log::debug("another link to {} cannot join the session (code {})", name_,
                   static_cast<unsigned>(failure.code));
        return end_extra(unknown ? link_demand::dial_end::elsewhere
                                 : link_demand::dial_end::failed);
    }
    // Where the server said where to join, others say nothing about the session.
    if (unknown && !driver_->core().agreed().join_at.empty() && !dialled_join_at_)
        return on_dial_failed({}, "another server answered than the one that has the session");
    const bool for_good = failure.code == join_failure::unknown_session && slept_too_long();
    if (from.current_link() && !for_good) {
        // Another server may have answered than the one that has the session. Had that one given
        // it up, it would have closed the old link, too, and that will be seen.
        log::info("link to {}: what answered cannot resume the session (code {}); the link that "
                  "stands goes on",
                  name_, static_cast<unsigned>(failure.code));
        return carry_out(policy_.on_not_resumable(std::chrono::steady_clock::now()));
    }
    if (failure.code != join_failure::unknown_session)
        return on_dial_failed({}, "the server cannot resume the session now");
    log::warning("{} does not know the session any more: {} streams are reset", name_, load());
    policy_.on_beginning();
    give_up_session(errc::resume_refused, "the server does not know the session");
    if (retired_) return policy_.stop_dialling();
    begin_session(std::move(with), true);
}

void link_supervisor::on_join_lost(session_driver&, std::error_code why, const std::string& text) {
    if (extra_.joining()) {
        extra_.on_answer();
        return on_extra_failed(text, false);
    }
    on_dial_failed(why, text);
}

// ---- How they go

void link_supervisor::on_link_gone(session_driver& from, link_number gone, std::error_code why,
                                   const std::string& text) {
    if (driver_.get() != &from) return;
    const log::because because{to_string(link_end_of(why))};
    if (why == errc::link_replaced || why == errc::link_given_up)
        log::debug(because, "a link to {} is closed: {}; {} in all", name_, text, links());
    else
        log::info(because, "a link to {} has ended: {}; {} others carry the session", name_, text,
                  links());
    if (gone != watched_) return;
    driver_->for_each_link([this](link_number number, const link&) { watched_ = number; });
    carry_out(policy_.on_other_link(facts(), std::chrono::steady_clock::now()));
}

} // namespace muxsocks::client
