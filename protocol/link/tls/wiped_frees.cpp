#include "protocol/link/tls/wiped_frees.hpp"

#include <openssl/crypto.h>

#include <cstdlib>
#include <malloc.h>
#include <new>

namespace muxsocks {

namespace {

constinit thread_local int wiping_depth = 0;

} // namespace

wiped_frees::wiped_frees() noexcept { ++wiping_depth; }
wiped_frees::~wiped_frees() { --wiping_depth; }

} // namespace muxsocks

// Sanitizers have their own, which see more. GCC and Clang each have a way to say that they are
// there.
#ifdef __has_feature
#define MUXSOCKS_HAS(feature) __has_feature(feature)
#else
#define MUXSOCKS_HAS(feature) 0
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                             \
    !MUXSOCKS_HAS(address_sanitizer) && !MUXSOCKS_HAS(thread_sanitizer)

// As the library's own but for the wiping; the other forms end in these.
void* operator new(std::size_t size) {
    for (;;) {
        if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
        const auto handler = std::get_new_handler();
        if (handler == nullptr) throw std::bad_alloc();
        handler();
    }
}

void operator delete(void* memory) noexcept {
    if (muxsocks::wiping_depth != 0 && memory != nullptr)
        OPENSSL_cleanse(memory, ::malloc_usable_size(memory));
    std::free(memory);
}

void operator delete(void* memory, std::size_t /*size*/) noexcept { operator delete(memory); }

#endif
