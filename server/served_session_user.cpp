// On which terms its user has a session: places, addresses, time.

#include "server/served_session.hpp"

#include "protocol/program/log.hpp"
#include "server/networks.hpp"
#include "socks5/message.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace muxsocks::server {
namespace {

/// What a stream moves at a time where the user's rate is low: small enough for hundreds of them to
/// have their turns, and worth a frame.
constexpr std::size_t read_at_once = 4096;
constexpr std::size_t credit_at_once = 2048;

using boost::asio::ip::address;

std::string addresses_sentence(const user_account& user) {
    return fmt::format("the user comes from {} addresses already (users[].max_addresses)",
                       user.addresses().count());
}

} // namespace

void served_session::charge_to_user(const user_record& user) {
    policy_ = user.policy;
    account_ = worker_.shared().users.find(whose(), worker_.now_serving().limits_of(whose()));
    account_->set(user.terms);
    worker_.count_traffic(*account_, {});
    driver_->core().charge_to({account_, &account_->memory()});
    share_ = worker_.shares().take(*account_);
    driver_->share_with(share_.share());
    keep_to_rates();
}

void served_session::keep_to_rates() {
    auto& core = driver_->core();
    auto& clock = worker_.thread().clock();
    const auto go_on = [&core] { core.rates().on_pace(std::chrono::steady_clock::now()); };
    auto down = std::exchange(rate_down_, nullptr);
    auto up = std::exchange(rate_up_, nullptr);
    if (account_ && account_->rate_down().bytes_per_second() > 0)
        rate_down_ = down ? std::move(down)
                          : std::make_unique<rate_share>(
                                clock, account_->rate_down(), read_at_once,
                                [&core] { return core.rates().waiting_reads(); }, go_on);
    if (account_ && account_->rate_up().bytes_per_second() > 0)
        rate_up_ = up ? std::move(up)
                      : std::make_unique<rate_share>(
                            clock, account_->rate_up(), credit_at_once,
                            [&core] { return core.rates().waiting_credits(); }, go_on);
    for (const auto& each : {rate_down_.get(), rate_up_.get()})
        if (each) each->resize();
    core.rates().set(rate_down_.get(), rate_up_.get());
}

bool served_session::keeps_to_rates() const {
    return (account_->rate_down().bytes_per_second() > 0) == (rate_down_ != nullptr) &&
           (account_->rate_up().bytes_per_second() > 0) == (rate_up_ != nullptr);
}

traffic served_session::take_traffic() {
    const auto& all = driver_->core().statistics();
    const traffic now{all.bytes_received + all.datagram_bytes_received,
                      all.bytes_sent + all.datagram_bytes_sent};
    const traffic before = std::exchange(counted_, now);
    return {now.up - before.up, now.down - before.down};
}

// ---- Sessions

bool served_session::refuse_session(const std::string& why, close_code code) {
    log::warning(log::kind{"sessions refused for the terms of their user", account_->name()},
                 "link from {} refused: {}", name(), why);
    close(code, errc::closed_locally, why);
    return false;
}

bool served_session::take_place() {
    const auto& serving = worker_.now_serving();
    const auto& terms = serving.find_user(driver_->core().user(), driver_->core().version())->terms;
    if (terms.expired(std::chrono::system_clock::now()))
        return refuse_session(terms.expiry_sentence(), close_code::user_removed);
    if (!may_come_from(peer_))
        return refuse_session(addresses_sentence(*account_), close_code::limit);
    place_ = held_place::take(account_, user_place::session);
    if (!place_) {
        const auto victim = worker_.shared().registry.give_up_one_of(*account_);
        if (!victim)
            return refuse_session(fmt::format("the user has {} sessions already, each with a link "
                                              "(limits.user.sessions)",
                                              account_->most(user_place::session)),
                                  close_code::limit);
        worker::evict(*victim, "given up for a newer one of its user (limits.user.sessions)",
                      worker::eviction::in_any_case);
        account_->take_anyway(user_place::session);
        place_ = held_place(account_, user_place::session);
    }
    count_links();
    account_->addresses().move(counted_at_, counted_address(peer_));
    return true;
}

// ---- Links

void served_session::count_links() {
    const auto now = driver_->core().closed() ? 0 : driver_->core().link_count();
    while (links_.size() > now)
        links_.pop_back();
    while (links_.size() < now) {
        account_->take_anyway(user_place::link);
        links_.emplace_back(account_, user_place::link);
    }
    if (now == 0) account_->addresses().move(counted_at_, {});
}

std::optional<address> served_session::counted_address(const address& from) const {
    if (in_networks(worker_.now_serving().settings.limits.exempt, from)) return {};
    return user_addresses::one_of(from);
}

bool served_session::may_come_from(const address& from) const {
    const auto counted = counted_address(from);
    return !counted ||
           account_->addresses().may_move(counted_at_, *counted, account_->addresses_max());
}

void served_session::tell_refused_link(const address& from) const {
    const auto why = may_come_from(from)
                         ? fmt::format("its user has {} already (limits.user.links)",
                                       account_->most(user_place::link))
                         : addresses_sentence(*account_);
    log::warning(log::kind{"links refused for a limit of their user", account_->name()},
                 "a link for a session of {} was refused: {}", name(), why);
}

// ---- Streams

bool served_session::refuse_stream(session_driver& from, stream& opened, const held_place& place) {
    auto& core = from.core();
    if (bar_.cause()) {
        core.notify(&opened, *bar_.cause());
        core.refuse(opened, socks5::encode(socks5::make_reply(socks5::reply_code::not_allowed)));
        return true;
    }
    if (place) return false;
    log::warning(log::kind{"streams refused for a limit of their user", account_->name()},
                 "a stream of {} was refused: its user has {} already (limits.user.streams)",
                 name(), account_->most(user_place::stream));
    core.reset(opened, reset_code::refused);
    core.release(opened);
    return true;
}

// ---- Time

std::optional<notice_frame> served_session::why_barred(const user_terms& terms,
                                                       wall_time now) const {
    if (terms.expired(now)) return notice_frame{notice_code::policy, 0, terms.expiry_sentence()};
    const bool stops = terms.quota.then == quota_settings::consequence::stop;
    if (!account_->quota_used_up() || !stops) return {};
    const auto until = account_->quota_until();
    if (until == wall_time{}) return notice_frame{notice_code::quota, 0, terms.quota.sentence({})};
    return notice_frame{
        notice_code::quota,
        static_cast<std::uint32_t>(std::max<std::int64_t>((until - now).count(), 1)),
        terms.quota.sentence(until)};
}

void served_session::tell_slowed(const user_terms& terms) {
    const bool slowed =
        account_->quota_used_up() && terms.quota.then == quota_settings::consequence::slow;
    if (std::exchange(told_slowed_, slowed) == slowed || !slowed) return;
    const auto until = account_->quota_until();
    const auto why =
        terms.quota.sentence(until == wall_time{} ? std::optional<wall_time>() : until) +
        ": slower from now on";
    driver_->core().notify(nullptr, {notice_code::quota, 0, why});
    log::info("session of {}: {}", name(), why);
}

void served_session::look_at_user(std::chrono::system_clock::time_point now) {
    const driver_ptr keep = driver_;
    if (!account_ || !keep->core().established()) return;
    if (!keeps_to_rates()) keep_to_rates();
    if (!account_->is_watched() && !bar_.cause()) return;
    const auto& terms = worker_.now_serving().terms_of(account_->name());
    tell_slowed(terms);
    auto cause = why_barred(terms, std::chrono::floor<std::chrono::seconds>(now));
    switch (bar_.look(std::move(cause), std::chrono::steady_clock::now())) {
    case user_bar::step::none:
        return;
    case user_bar::step::tell:
        keep->core().notify(nullptr, *bar_.cause());
        return log::info("session of {}: {}; it gets no new streams, and what runs has {} s",
                         name(), bar_.cause()->text, user_bar::grace.count());
    case user_bar::step::lift:
        return log::info("session of {} may go on", name());
    case user_bar::step::end:
        // It waits for its next period, if there is one.
        if (bar_.cause()->code == notice_code::quota) return keep->end_streams(reset_code::denied);
        return close(close_code::user_removed, errc::closed_locally, bar_.cause()->text);
    }
}

} // namespace muxsocks::server
