#pragma once

/// \file
/// How often a micro-benchmark runs. Google Benchmark finds it out by the clock;
/// benchmarks/instructions counts instructions instead and asks for a number, so that two runs do
/// exactly the same.

#include <benchmark/benchmark.h>

#include <cstdlib>

namespace muxsocks::micro {

/// For Benchmark::Apply(): the number in MUXSOCKS_ITERATIONS, if that is set.
inline constexpr auto fixed_iterations = [](auto* one) {
    const char* const number = std::getenv("MUXSOCKS_ITERATIONS");
    if (number) one->Iterations(std::atol(number));
};

} // namespace muxsocks::micro
