#include "protocol/link/link_thread.hpp"

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace muxsocks {

void link_thread::check_idle() {
    if (std::exchange(used_, false)) return idle_check_.expires_after(idle_time);
    chunks_.trim();
    ciphertext_.reset();
    plaintext_.reset();
    outputs_.clear();
#ifdef __GLIBC__
    // What streams had for a moment lies between what they keep.
    ::malloc_trim(0);
#endif
}

} // namespace muxsocks
