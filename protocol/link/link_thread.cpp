#include "protocol/link/link_thread.hpp"

#include <algorithm>
#include <cstdlib> // __GLIBC__
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace muxsocks {
namespace {

/// After fewer uses than these (keepalive is a few) the allocator holds nothing worth a search,
/// which also stops the other threads for a moment.
constexpr std::size_t uses_worth_a_search = 64;

} // namespace

stalled_memory link_thread::most_stalled() const {
    stalled_memory most;
    for (const auto& each : holders_)
        most = std::max(most, each.most_stalled());
    return most;
}

void link_thread::shed_most_stalled() {
    memory_holder* victim = nullptr;
    stalled_memory most;
    for (auto& each : holders_) {
        const auto here = each.most_stalled();
        if (here <= most) continue;
        most = here;
        victim = &each;
    }
    if (victim) victim->shed_most_stalled();
}

void link_thread::check_idle() {
    const bool idle = std::exchange(uses_seen_, uses_) == uses_;
    // What is held goes up and down while much is under way: only what was not needed for all of
    // the time between two checks is too much.
    held_highest_ = std::max(held_highest_, held_most_);
    const bool lower =
        held_highest_ - held_most_ >= static_cast<std::ptrdiff_t>(bytes_worth_a_search);
    held_most_ = held_;
    if (!idle) idle_check_.expires_after(idle_time);
    if (!idle && !lower) return;
    chunks_.trim();
    if (idle) {
        ciphertext_.reset();
        plaintext_.reset();
        outputs_.clear();
    }
#ifdef __GLIBC__
    // What streams had for a moment lies between what they keep.
    if (lower || uses_ >= uses_worth_a_search || freed_ >= bytes_worth_a_search) ::malloc_trim(0);
#endif
    held_highest_ = held_;
    freed_ = 0;
    if (idle) uses_ = uses_seen_ = 0;
}

} // namespace muxsocks
