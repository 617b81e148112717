#pragma once

/// \file
/// The quantities in the tools' commands and options: durations ("50ms"), sizes ("64KiB"), rates
/// ("1gbit") and ranges of them ("200ms-400ms"). Every parser refuses what it does not take whole,
/// with a std::invalid_argument that names the text; nothing here knows what a quantity is for.

#include <chrono>
#include <cstdint>
#include <random>
#include <string_view>

namespace muxsocks::tools {

using clock = std::chrono::steady_clock;
using duration = clock::duration;
using time_point = clock::time_point;
using random_engine = std::mt19937_64;

/// A closed interval; a plain quantity is an interval of one value.
template <class Value>
struct range {
    Value low{};
    Value high{};

    friend bool operator==(const range&, const range&) = default;
};

/// "150us", "50ms", "1.5s", "2m" or "0".
duration parse_duration(std::string_view text);

/// Bytes: "1000", "64KiB", "8MiB", "1GiB".
std::uint64_t parse_size(std::string_view text);

/// Bytes a second: "10mbit", "1gbit" (powers of ten, as networks count) or a size; "off" or "0"
/// is 0 and means no limit.
std::uint64_t parse_rate(std::string_view text);

/// "A" or "A-B" with A <= B.
range<duration> parse_duration_range(std::string_view text);
range<std::uint64_t> parse_size_range(std::string_view text);

/// Whether the text begins like a quantity, so that optional words may be told from it.
bool looks_like_quantity(std::string_view text);

/// An even draw from the interval; takes nothing from the engine when there is one value only.
duration draw(const range<duration>& interval, random_engine& random);
std::uint64_t draw(const range<std::uint64_t>& interval, random_engine& random);

} // namespace muxsocks::tools
