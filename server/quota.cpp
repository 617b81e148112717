#include "server/quota.hpp"

#include "protocol/program/values.hpp"

#include <array>

namespace muxsocks::server {
namespace {

constexpr std::array period_names{"day", "week", "month", "ever"};
/// A clock that was set back by less is no reason for another period.
constexpr auto clock_tolerance = std::chrono::days(1);

} // namespace

const char* to_string(quota_period per) { return period_names[static_cast<std::size_t>(per)]; }

std::optional<quota_period> parse_quota_period(const std::string& text) {
    for (std::size_t i = 0; i < period_names.size(); ++i)
        if (text == period_names[i]) return static_cast<quota_period>(i);
    return {};
}

wall_time period_begin(quota_period per, wall_time now) {
    using namespace std::chrono;
    const auto day = floor<days>(now);
    switch (per) {
    case quota_period::day:
        return day;
    case quota_period::week:
        return day - (weekday(day) - Monday);
    case quota_period::month:
        return sys_days(year_month_day(day).year() / year_month_day(day).month() / 1);
    case quota_period::ever:
        break;
    }
    return {};
}

std::optional<wall_time> period_end(quota_period per, wall_time begin) {
    using namespace std::chrono;
    switch (per) {
    case quota_period::day:
        return begin + days(1);
    case quota_period::week:
        return begin + days(7);
    case quota_period::month:
        return sys_days(year_month_day(floor<days>(begin)) + months(1));
    case quota_period::ever:
        break;
    }
    return {};
}

std::uint64_t quota_settings::used_of(const traffic& moved) const {
    return (count == counted::up ? 0 : moved.down) + (count == counted::down ? 0 : moved.up);
}

std::string quota_settings::sentence(std::optional<wall_time> until) const {
    auto text = "the user's quota of " + format_size(bytes);
    if (per != quota_period::ever) text += std::string(" a ") + to_string(per);
    text += " is used up";
    if (until) text += " until " + format_time(*until);
    return text + " (users[].quota)";
}

void user_usage::move_on(quota_period now_per, wall_time now) {
    const auto current = period_begin(now_per, now);
    const bool back = now_per == per && current < begin;
    if (now_per == per && current == begin) return;
    // What was counted stays counted where only the clock was wrong.
    if (back && now + clock_tolerance >= begin) return;
    if (!back) period = {};
    per = now_per;
    begin = current;
}

void user_usage::add(const traffic& moved, wall_time now) {
    if (since == wall_time{}) since = now;
    if (moved.none()) return;
    total += moved;
    period += moved;
    last = now;
}

} // namespace muxsocks::server
