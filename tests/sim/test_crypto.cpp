#include "tests/sim/test_crypto.hpp"

#include "tests/sim/random.hpp"

namespace muxsocks::sim {
namespace {

random_source random_bytes_source{1};

std::uint64_t absorb(std::uint64_t state, bytes_view bytes) {
    for (const auto byte : bytes)
        state = (state ^ byte) * 0x100000001b3;
    return state;
}

digest squeeze(std::uint64_t state) {
    digest out{};
    random_source stretched(state);
    for (std::size_t at = 0; at < out.size(); at += 8)
        store_u64(out.data() + at, stretched.next());
    return out;
}

digest hash(std::span<const bytes_view> parts) {
    std::uint64_t state = 0xcbf29ce484222325;
    for (const auto part : parts)
        state = absorb(state, part);
    return squeeze(state);
}

digest keyed_hash(bytes_view key, std::span<const bytes_view> parts) {
    auto state = absorb(0x84222325cbf29ce4, key);
    for (const auto part : parts)
        state = absorb(state, part);
    return squeeze(state ^ key.size());
}

void random_bytes(bytes_span out) {
    for (auto& byte : out)
        byte = static_cast<std::uint8_t>(random_bytes_source.next());
}

} // namespace

crypto_functions test_crypto() { return {hash, keyed_hash, random_bytes}; }

void seed_test_random(std::uint64_t seed) { random_bytes_source = random_source(seed); }

} // namespace muxsocks::sim
