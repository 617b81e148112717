#include "server/user_snapshots.hpp"

namespace muxsocks::server {
namespace {

wall_time wall_now() {
    return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

double seconds_since_1970(wall_time time) {
    return static_cast<double>(time.time_since_epoch().count());
}

usage_snapshot shown(const user_usage& one, const quota_settings& quota, wall_time now) {
    auto current = one;
    current.move_on(quota.per, now);
    usage_snapshot made;
    made.total_up = current.total.up;
    made.total_down = current.total.down;
    made.period_up = current.period.up;
    made.period_down = current.period.down;
    made.per = to_string(current.per);
    made.period_begin = seconds_since_1970(current.begin);
    if (const auto end = period_end(current.per, current.begin))
        made.period_end = seconds_since_1970(*end);
    made.since = seconds_since_1970(current.since);
    made.last = seconds_since_1970(current.last);
    made.quota_bytes = quota.bytes;
    made.quota_used = quota.bytes > 0 ? quota.used_of(current.period) : 0;
    return made;
}

} // namespace

void add_terms(snapshot& to, const recipe& serving, const usage_book& usage) {
    to.accounting = !serving.settings.accounting.file.empty();
    const auto now = wall_now();
    for (auto& [name, user] : to.users) {
        const auto& terms = serving.terms_of(name);
        user.rate_up = terms.rate.up;
        user.rate_down = terms.rate.down;
        user.expires = seconds_since_1970(terms.expires);
        user.quota_bytes = terms.quota.bytes;
        if (!to.accounting || terms.quota.bytes == 0) continue;
        if (auto one = usage.find(name)) {
            one->move_on(terms.quota.per, now);
            user.quota_used = terms.quota.used_of(one->period);
        }
    }
}

void add_usage(snapshot& to, const recipe& serving, const usage_book& usage) {
    if (!to.accounting) return;
    const auto now = wall_now();
    for (const auto& [name, one] : usage.all())
        to.usage.emplace(name, shown(one, serving.terms_of(name).quota, now));
}

} // namespace muxsocks::server
