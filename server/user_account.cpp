#include "server/user_account.hpp"

#include <algorithm>

namespace muxsocks::server {

// ---- Memory

void user_memory::add_here(std::size_t bytes) {
    if (bytes > 0 && add(bytes) == 0) all_.sharers_.fetch_add(1, std::memory_order_relaxed);
}

void user_memory::subtract_here(std::size_t bytes) {
    if (bytes > 0 && subtract(bytes) == bytes)
        all_.sharers_.fetch_sub(1, std::memory_order_relaxed);
}

bool user_memory::take(std::size_t bytes) {
    add_here(bytes);
    const auto before = used() - bytes;
    if (before + bytes <= limit() && all_.now().may_take(before, bytes) && all_.take(bytes))
        return true;
    subtract_here(bytes);
    return false;
}

void user_memory::take_anyway(std::size_t bytes) {
    add_here(bytes);
    all_.take_anyway(bytes);
}

void user_memory::give(std::size_t bytes) {
    subtract_here(bytes);
    all_.give(bytes);
}

bool user_memory::relieve(std::size_t bytes) {
    const auto state = all_.now();
    if (used() + bytes <= limit() && state.deserves(used(), bytes)) return all_.relieve(bytes);
    // Others shall not pay for who holds most. Until the user's own sessions have given what they
    // can do without, the bounds may be passed as the process's may, where nobody else is there.
    const auto within = [bytes](std::size_t held, std::size_t most) {
        return held + bytes <= most + most / 8 + overshoot;
    };
    return all_.relief_ && all_.relief_(of_) && within(used(), limit()) &&
           (state.alone() ? within(state.used, state.limit) : state.used + bytes <= state.limit);
}

// ---- Places

user_account::user_account(std::string name, const user_limit_settings& limits,
                           shared_memory& memory)
    : name_(std::move(name)), memory_(*this, limits.memory, memory) {
    set(limits);
}

void user_account::set(const user_limit_settings& limits) {
    counter_of(user_place::session).most.store(limits.sessions, order);
    counter_of(user_place::link).most.store(limits.links, order);
    counter_of(user_place::stream).most.store(limits.streams, order);
    counter_of(user_place::file).most.store(limits.files, order);
    counter_of(user_place::association).most.store(limits.udp_associations, order);
    dials_max_.store(limits.dials, order);
    lookups_max_.store(limits.lookups, order);
    detached_memory_max_.store(limits.detached_memory, order);
    memory_.set_limit(limits.memory);
}

void user_account::set(const user_terms& terms) {
    watched_.store(terms.has_expiry() || terms.quota.bytes > 0, order);
    udp_.store(terms.udp, order);
    addresses_max_.store(terms.max_addresses, order);
    usual_.set(terms.rate);
    slow_.set(terms.quota.slow_rate);
    set_rates();
}

void user_account::set(const quota_standing& standing) {
    quota_until_.store(standing.until.value_or(wall_time{}).time_since_epoch().count(), order);
    quota_used_up_.store(standing.used_up, order);
    set_rates();
}

void user_account::set_rates() {
    const auto lower = [this](const std::atomic<std::uint64_t>& usual,
                              const std::atomic<std::uint64_t>& slow) {
        const auto most = usual.load(order);
        const auto other = quota_used_up() ? slow.load(order) : 0;
        return most == 0 || other == 0 ? std::max(most, other) : std::min(most, other);
    };
    rate_up_.set(lower(usual_.up, slow_.up));
    rate_down_.set(lower(usual_.down, slow_.down));
}

bool user_account::take(user_place of) {
    auto& counted = counter_of(of);
    if (counted.held.fetch_add(1, order) < counted.most.load(order)) return true;
    counted.held.fetch_sub(1, order);
    return false;
}

} // namespace muxsocks::server
