#include "tests/tools/quantity.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace muxsocks::tools {
namespace {

struct unit {
    std::string_view name;
    double factor;
};

constexpr std::array<unit, 4> duration_units{{{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}}};
constexpr std::array<unit, 6> size_units{
    {{"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}, {"k", 1000}}};
constexpr std::array<unit, 3> rate_units{{{"kbit", 1e3 / 8}, {"mbit", 1e6 / 8}, {"gbit", 1e9 / 8}}};

[[noreturn]] void refuse(std::string_view text, std::string_view expected) {
    throw std::invalid_argument("'" + std::string(text) + "' is not " + std::string(expected));
}

/// The number at the front of the text and what follows it.
std::pair<double, std::string_view> split_number(std::string_view text, std::string_view expected) {
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    if (error != std::errc{} || number < 0 || !std::isfinite(number)) refuse(text, expected);
    return {number, text.substr(static_cast<std::size_t>(rest - text.data()))};
}

template <std::size_t Count>
const unit* find_unit(const std::array<unit, Count>& units, std::string_view name) {
    for (const unit& candidate : units)
        if (candidate.name == name) return &candidate;
    return nullptr;
}

template <class Value>
range<Value> parse_range(std::string_view text, Value (*parse)(std::string_view)) {
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) {
        const Value value = parse(text);
        return {value, value};
    }
    const range<Value> result{parse(text.substr(0, dash)), parse(text.substr(dash + 1))};
    if (result.high < result.low) refuse(text, "a range (its low end is above its high end)");
    return result;
}

} // namespace

duration parse_duration(std::string_view text) {
    constexpr std::string_view expected = "a duration such as 50ms, 1.5s or 2m";
    const auto [number, name] = split_number(text, expected);
    if (name.empty() && number == 0) return duration::zero();
    const unit* const found = find_unit(duration_units, name);
    if (found == nullptr) refuse(text, expected);
    const std::chrono::duration<double> seconds(number * found->factor);
    if (seconds > std::chrono::hours(24)) refuse(text, "a duration of at most a day");
    return std::chrono::duration_cast<duration>(seconds);
}

std::uint64_t parse_size(std::string_view text) {
    constexpr std::string_view expected = "a size such as 1000, 64KiB or 1GiB";
    const auto [number, name] = split_number(text, expected);
    const unit* const found = find_unit(size_units, name);
    if (found == nullptr || number * found->factor > 1e18) refuse(text, expected);
    return static_cast<std::uint64_t>(number * found->factor);
}

std::uint64_t parse_rate(std::string_view text) {
    constexpr std::string_view expected = "a rate such as 1gbit, 500kbit, 10MiB (a second) or off";
    if (text == "off") return 0;
    const auto [number, name] = split_number(text, expected);
    const unit* found = find_unit(rate_units, name);
    if (found == nullptr) found = find_unit(size_units, name);
    if (found == nullptr || number * found->factor > 1e12) refuse(text, expected);
    return static_cast<std::uint64_t>(number * found->factor);
}

range<duration> parse_duration_range(std::string_view text) {
    return parse_range<duration>(text, &parse_duration);
}

range<std::uint64_t> parse_size_range(std::string_view text) {
    return parse_range<std::uint64_t>(text, &parse_size);
}

bool looks_like_quantity(std::string_view text) {
    return !text.empty() && text.front() >= '0' && text.front() <= '9';
}

duration draw(const range<duration>& interval, random_engine& random) {
    if (interval.low == interval.high) return interval.low;
    std::uniform_int_distribution<duration::rep> even(interval.low.count(), interval.high.count());
    return duration(even(random));
}

std::uint64_t draw(const range<std::uint64_t>& interval, random_engine& random) {
    if (interval.low == interval.high) return interval.low;
    return std::uniform_int_distribution<std::uint64_t>(interval.low, interval.high)(random);
}

} // namespace muxsocks::tools
