#include "protocol/link/link_thread.hpp"

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

void link_thread::check_idle() {
    if (std::exchange(uses_seen_, uses_) != uses_) return idle_check_.expires_after(idle_time);
    chunks_.trim();
    ciphertext_.reset();
    plaintext_.reset();
    outputs_.clear();
#ifdef __GLIBC__
    // What streams had for a moment lies between what they keep.
    if (uses_ >= uses_worth_a_search) ::malloc_trim(0);
#endif
    uses_ = uses_seen_ = 0;
}

} // namespace muxsocks
