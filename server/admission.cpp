#include "server/admission.hpp"

#include "server/networks.hpp"

#include <algorithm>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

constexpr auto forget_after = 5min;
constexpr std::size_t failures_max = 10'000;

admission_table::limits table_limits(const limit_settings& limits) {
    return {limits.unauthenticated, limits.unauthenticated_per_address};
}

} // namespace

admission::admission(limit_settings limits, std::function<void(worker&, link_id)> make_go)
    : limits_(std::move(limits)), make_go_(std::move(make_go)), table_(table_limits(limits_)) {}

admission::ticket admission::enter(const boost::asio::ip::address& address, bool balancer,
                                   worker& owner) {
    std::unique_lock lock(mutex_);
    if (lost_.size() >= limits_.unauthenticated) return {};
    const auto entered =
        table_.enter(address, balancer || exempt_locked(address), std::chrono::steady_clock::now());
    ticket made;
    if (entered.id != 0) {
        owners_[entered.id] = &owner;
        made = ticket(shared_from_this(), entered.id);
    }
    send_away(entered.must_go, std::move(lock));
    return made;
}

bool admission::move_to(link_id id, const boost::asio::ip::address& address) {
    std::unique_lock lock(mutex_);
    const auto moved =
        table_.move_to(id, address, exempt_locked(address), std::chrono::steady_clock::now());
    send_away(moved.must_go, std::move(lock));
    return moved.id != 0;
}

void admission::send_away(const std::vector<link_id>& those, std::unique_lock<std::mutex> lock) {
    std::vector<std::pair<worker*, link_id>> told;
    for (const auto id : those) {
        lost_.insert(id);
        told.emplace_back(owners_.at(id), id);
    }
    lock.unlock();
    for (const auto& [owner, id] : told)
        make_go_(*owner, id);
}

void admission::leave(link_id id) {
    const std::lock_guard lock(mutex_);
    table_.leave(id);
    owners_.erase(id);
    lost_.erase(id);
}

bool admission::has_lost(link_id id) const {
    const std::lock_guard lock(mutex_);
    return lost_.contains(id);
}

void admission::set_owner(link_id id, worker& owner) {
    const std::lock_guard lock(mutex_);
    owners_[id] = &owner;
}

void admission::on_progress(link_id id, link_progress to) {
    const std::lock_guard lock(mutex_);
    table_.on_progress(id, to);
}

std::chrono::milliseconds admission::pause(const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    // Health checks and forwarders of this machine come from there.
    if (address.is_loopback() || exempt_locked(address)) return 0ms;
    const auto now = std::chrono::steady_clock::now();
    return std::max(table_.pause(address, now), table_.take_handshake(address, now));
}

void admission::on_silent_end(const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    table_.on_failure(address, std::chrono::steady_clock::now());
}

std::chrono::milliseconds admission::on_failure(const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (failed_.size() >= failures_max)
        std::erase_if(failed_, [&](const auto& each) { return now - each.second.last > 1min; });
    if (failed_.size() >= failures_max) failed_.clear();
    auto& known = failed_[host_of(address)];
    if (now - known.last > forget_after) known.count = 0;
    known.last = now;
    const auto steps = std::min(known.count++, 4U);
    return exempt_locked(address) ? 0ms : 250ms * (1U << steps);
}

void admission::on_success(const boost::asio::ip::address& address) {
    const std::lock_guard lock(mutex_);
    failed_.erase(host_of(address));
    table_.on_success(address, std::chrono::steady_clock::now());
}

void admission::set_limits(limit_settings limits) {
    const std::lock_guard lock(mutex_);
    limits_ = std::move(limits);
    table_.set_limits(table_limits(limits_));
}

bool admission::exempt_locked(const boost::asio::ip::address& address) const {
    return in_networks(limits_.exempt, address);
}

} // namespace muxsocks::server
