#pragma once

/// \file
/// Cryptography for tests of the core: quick, deterministic, and not secure at all. Two sides that
/// use it agree exactly when they hash the same bytes with the same key.

#include "protocol/session/crypto.hpp"

namespace muxsocks::sim {

/// Its random bytes come from one sequence, which seed_test_random() begins anew.
crypto_functions test_crypto();
void seed_test_random(std::uint64_t seed);

} // namespace muxsocks::sim
