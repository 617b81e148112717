#pragma once

/// \file
/// Catch2 as the distribution has it: version 2 (Debian 12) or 3 (Debian 13).

#ifdef MUXSOCKS_CATCH2_V3
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace muxsocks::test {

/// The matcher for a text that has `part` in it; the versions name it differently.
inline auto contains(const std::string& part) {
#ifdef MUXSOCKS_CATCH2_V3
    return Catch::Matchers::ContainsSubstring(part);
#else
    return Catch::Matchers::Contains(part);
#endif
}

} // namespace muxsocks::test
