#pragma once

/// \file
/// Chance that can be repeated: one seed a run, printed once, set by MUXSOCKS_TEST_SEED.

#include <cstdlib>
#include <iostream>
#include <random>

namespace muxsocks::tests {

/// The seed of this run. Give each test its own generator: std::mt19937 random{test_seed()}.
inline unsigned test_seed() {
    static const unsigned seed = [] {
        const char* given = std::getenv("MUXSOCKS_TEST_SEED");
        const auto value = given != nullptr
                               ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                               : std::random_device{}();
        std::cout << "MUXSOCKS_TEST_SEED=" << value << std::endl;
        return value;
    }();
    return seed;
}

} // namespace muxsocks::tests
