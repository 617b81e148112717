#include "server/usage_book.hpp"

#include "protocol/program/values.hpp"

#include <nlohmann/json.hpp>

#include <utility>

namespace muxsocks::server {
namespace {

using json = nlohmann::ordered_json;

json of(const traffic& moved) { return {{"up", moved.up}, {"down", moved.down}}; }

json of(const user_usage& one) {
    return {{"total", of(one.total)},          {"period", of(one.period)},
            {"per", to_string(one.per)},       {"begin", format_time(one.begin)},
            {"since", format_time(one.since)}, {"last", format_time(one.last)}};
}

traffic traffic_of(const json& from) {
    return {from.at("up").get<std::uint64_t>(), from.at("down").get<std::uint64_t>()};
}

/// Throws json::exception, or std::bad_optional_access, if it is none.
user_usage usage_of(const json& from) {
    user_usage one;
    one.total = traffic_of(from.at("total"));
    one.period = traffic_of(from.at("period"));
    one.per = parse_quota_period(from.at("per").get<std::string>()).value();
    one.begin = parse_time(from.at("begin").get<std::string>()).value();
    one.since = parse_time(from.at("since").get<std::string>()).value();
    one.last = parse_time(from.at("last").get<std::string>()).value();
    return one;
}

} // namespace

quota_standing usage_book::add(const std::string& user, const traffic& moved,
                               const quota_settings& quota, wall_time now) {
    const std::lock_guard lock(mutex_);
    auto& one = users_[user];
    const auto before = one;
    one.move_on(quota.per, now);
    one.add(moved, now);
    changed_ = changed_ || one != before;
    quota_standing found;
    found.used_up = quota.bytes > 0 && quota.used_of(one.period) >= quota.bytes;
    found.news = std::exchange(used_up_[user], found.used_up) != found.used_up && found.used_up;
    if (found.used_up) found.until = period_end(one.per, one.begin);
    return found;
}

usage_book::users usage_book::all() const {
    const std::lock_guard lock(mutex_);
    return users_;
}

std::optional<user_usage> usage_book::find(const std::string& user) const {
    const std::lock_guard lock(mutex_);
    const auto found = users_.find(user);
    return found == users_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<usage_book::users> usage_book::take_changed() {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(changed_, false)) return {};
    return users_;
}

void usage_book::set_changed() {
    const std::lock_guard lock(mutex_);
    changed_ = true;
}

void usage_book::restore(users known) {
    const std::lock_guard lock(mutex_);
    users_ = std::move(known);
}

std::string encode(const usage_book::users& all) {
    auto users = json::object();
    for (const auto& [name, one] : all)
        users[name] = of(one);
    return json{{"version", 1}, {"users", users}}.dump(1) + "\n";
}

std::optional<usage_book::users> decode_usage(const std::string& text) {
    try {
        const auto all = json::parse(text);
        if (all.at("version") != 1) return {};
        usage_book::users found;
        for (const auto& [name, one] : all.at("users").items())
            found.emplace(name, usage_of(one));
        return found;
    } catch (const std::exception&) {
        return {};
    }
}

} // namespace muxsocks::server
