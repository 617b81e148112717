#include "server/user_account.hpp"

namespace muxsocks::server {

// ---- Memory

void user_memory::add_here(std::size_t bytes) {
    const auto before = add(bytes);
    if (before <= shares_from && before + bytes > shares_from)
        all_.sharers_.fetch_add(1, std::memory_order_relaxed);
}

void user_memory::subtract_here(std::size_t bytes) {
    const auto before = subtract(bytes);
    if (before > shares_from && before - bytes <= shares_from)
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

bool user_account::take(user_place of) {
    auto& counted = counter_of(of);
    if (counted.held.fetch_add(1, order) < counted.most.load(order)) return true;
    counted.held.fetch_sub(1, order);
    return false;
}

held_memory::held_memory(memory_budget& of, std::size_t bytes) : of_(&of), bytes_(bytes) {
    if (of.take(bytes)) return;
    of.take_anyway(bytes);
    (void)of.relieve(0);
}

} // namespace muxsocks::server
