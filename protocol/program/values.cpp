#include "protocol/program/values.hpp"

#include "protocol/link/dial/host_name.hpp"
#include "protocol/program/network.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <limits>

namespace muxsocks {

namespace {

template <class Number>
struct unit {
    std::string_view name;
    Number factor;
};

/// Smallest first. Milliseconds.
constexpr std::array<unit<std::int64_t>, 5> duration_units{
    {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

/// Smallest first. Bytes.
constexpr std::array<unit<std::uint64_t>, 5> size_units{
    {{"", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}}};

/// Smallest first. Bits a second.
constexpr std::array<unit<std::uint64_t>, 4> bit_rate_units{
    {{"", 1}, {"kbit", 1'000}, {"Mbit", 1'000'000}, {"Gbit", 1'000'000'000}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// All of `text` as a decimal number without sign, blanks or superfluous zeros.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
    if (text.empty() || !is_digit(text.front())) return std::nullopt;
    if (text.size() > 1 && text.front() == '0') return std::nullopt;
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// A number and the name of one of `units` right behind it.
template <class Number, std::size_t N>
std::optional<Number> parse_with_unit(std::string_view text,
                                      const std::array<unit<Number>, N>& units) {
    const auto digits_end = std::find_if_not(text.begin(), text.end(), is_digit);
    const auto digits = static_cast<std::size_t>(digits_end - text.begin());
    const std::optional<Number> value = parse_number<Number>(text.substr(0, digits));
    if (!value) return std::nullopt;
    for (const auto& [name, factor] : units) {
        if (name != text.substr(digits)) continue;
        if (*value > std::numeric_limits<Number>::max() / factor) return std::nullopt;
        return *value * factor;
    }
    return std::nullopt;
}

template <class Number, std::size_t N>
std::string format_with_unit(Number value, const std::array<unit<Number>, N>& units) {
    const auto whole = [&](const unit<Number>& one) { return value % one.factor == 0; };
    const auto largest = std::find_if(units.rbegin(), units.rend(), whole);
    return std::to_string(value / largest->factor) + std::string(largest->name);
}

std::string folded(std::string_view word) {
    std::string result(word);
    for (char& c : result) {
        if (c == '-') c = '_';
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return result;
}

/// Letters to change, add, remove or swap with their neighbour (optimal string alignment).
std::size_t distance(const std::string& a, const std::string& b) {
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
        d[i][0] = i;
    }
    for (std::size_t j = 0; j <= b.size(); ++j) {
        d[0][j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t changed = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, changed});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a.size()][b.size()];
}

} // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
    if (text == "0") return std::chrono::milliseconds(0);
    const auto value = parse_with_unit(text, duration_units);
    if (!value) return std::nullopt;
    return std::chrono::milliseconds(*value);
}

std::string format_duration(std::chrono::milliseconds value) {
    if (value.count() == 0) return "0";
    return format_with_unit<std::int64_t>(value.count(), duration_units);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    return parse_with_unit(text, size_units);
}

std::string format_size(std::uint64_t bytes) {
    if (bytes == 0) return "0";
    return format_with_unit(bytes, size_units);
}

std::optional<std::uint64_t> parse_bit_rate(std::string_view text) {
    return parse_with_unit(text, bit_rate_units);
}

std::string format_bit_rate(std::uint64_t bits_per_second) {
    if (bits_per_second == 0) return "0";
    return format_with_unit(bits_per_second, bit_rate_units);
}

std::optional<std::chrono::sys_seconds> parse_time(std::string_view text) {
    using namespace std::chrono;
    constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
    if (text.size() < form.size() + 1) return std::nullopt;
    const auto fits = [](std::string_view part, std::string_view wanted) {
        return part.size() == wanted.size() &&
               std::equal(part.begin(), part.end(), wanted.begin(),
                          [](char c, char w) { return w == 'd' ? is_digit(c) : c == w; });
    };
    const auto number = [&](std::size_t at, std::size_t digits) {
        int value = 0;
        std::from_chars(text.data() + at, text.data() + at + digits, value);
        return value;
    };
    const auto zone = text.substr(form.size());
    const bool offset = fits(zone, "+dd:dd") || fits(zone, "-dd:dd");
    if (!fits(text.substr(0, form.size()), form) || (zone != "Z" && !offset)) return std::nullopt;
    const year_month_day day(year(number(0, 4)), month(static_cast<unsigned>(number(5, 2))),
                             std::chrono::day(static_cast<unsigned>(number(8, 2))));
    if (!day.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 59)
        return std::nullopt;
    sys_seconds time =
        sys_days(day) + hours(number(11, 2)) + minutes(number(14, 2)) + seconds(number(17, 2));
    if (!offset) return time;
    if (number(20, 2) > 23 || number(23, 2) > 59) return std::nullopt;
    const auto ahead = hours(number(20, 2)) + minutes(number(23, 2));
    return zone.front() == '+' ? time - ahead : time + ahead;
}

std::string format_time(std::chrono::sys_seconds time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    std::array<char, 64> text{};
    const auto size = std::snprintf(
        text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
        static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
        static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
        static_cast<int>(clock.seconds().count()));
    return {text.data(), static_cast<std::size_t>(size)};
}

std::optional<host_port> parse_host_port(std::string_view text,
                                         std::optional<std::uint16_t> default_port) {
    if (default_port && is_ip_address(std::string(text))) {
        return host_port{std::string(text), *default_port};
    }
    const bool bracketed = !text.empty() && text.front() == '[';
    const std::size_t host_end = bracketed ? text.find(']') : text.find(':');
    if (bracketed && host_end == std::string_view::npos) return std::nullopt;
    const std::string host(bracketed ? text.substr(1, host_end - 1) : text.substr(0, host_end));
    const auto address = parse_address(host);
    // A leading '-' would do for DNS, but stands for an option in the wrong place.
    const bool valid = bracketed ? address && address->is_v6()
                                 : host.empty() || (address && address->is_v4()) ||
                                       (is_host_name(host) && host.front() != '-');
    if (!valid) return std::nullopt;

    std::string_view rest;
    if (host_end != std::string_view::npos) rest = text.substr(host_end + (bracketed ? 1 : 0));
    if (rest.empty()) {
        if (!default_port || host.empty()) return std::nullopt;
        return host_port{host, *default_port};
    }
    if (rest.front() != ':') return std::nullopt;
    const auto port = parse_number<std::uint16_t>(rest.substr(1));
    if (!port) return std::nullopt;
    return host_port{host, *port};
}

bool is_ip_address(const std::string& host) { return parse_address(host).has_value(); }

bool is_loopback(const std::string& host) {
    if (folded(host) == "localhost") return true;
    static const std::vector<network> loopback{*parse_network("127.0.0.0/8"),
                                               *parse_network("::1")};
    const std::optional<network> address = parse_network(host);
    if (!address) return false;
    const std::size_t length = address->is_v4 ? 4 : 16;
    return contains(loopback, std::span(address->address).first(length));
}

std::optional<std::string> nearest_word(std::string_view word,
                                        const std::vector<std::string>& candidates) {
    std::optional<std::string> best;
    std::size_t best_distance = std::min<std::size_t>(3, 1 + word.size() / 4) + 1;
    for (const std::string& candidate : candidates) {
        const std::size_t here = distance(folded(word), folded(candidate));
        // A short word that shares nothing with the candidate is no misspelling of it.
        if (here < best_distance && here < candidate.size()) {
            best = candidate;
            best_distance = here;
        }
    }
    return best;
}

} // namespace muxsocks
