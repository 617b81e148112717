#include "protocol/program/repeated_lines.hpp"

#include <algorithm>

namespace muxsocks {

bool repeated_lines::admit(std::string_view kind, std::string_view origin, time_point now) {
    auto& counted = find(kind, origin, now);
    if (now >= counted.end && counted.left_out == 0) counted = {now + limits_.period, 0, 0};
    if (counted.written < limits_.first_lines) {
        ++counted.written;
        return true;
    }
    ++counted.left_out;
    next_ = std::min(next_.value_or(counted.end), counted.end);
    return false;
}

std::vector<repeated_lines::summary> repeated_lines::due(time_point now) {
    std::vector<summary> found;
    if (!next_ || now < *next_) return found;
    next_.reset();
    for (auto each = minutes_.begin(); each != minutes_.end();) {
        auto& [name, counted] = *each;
        if (now >= counted.end) {
            if (counted.left_out > 0) found.push_back({name.kind, name.origin, counted.left_out});
            each = minutes_.erase(each);
            continue;
        }
        if (counted.left_out > 0) next_ = std::min(next_.value_or(counted.end), counted.end);
        ++each;
    }
    return found;
}

repeated_lines::minute& repeated_lines::find(std::string_view kind, std::string_view origin,
                                             time_point now) {
    key wanted{std::string(kind), std::string(origin)};
    const auto known = minutes_.find(wanted);
    if (known != minutes_.end()) return known->second;
    if (minutes_.size() >= limits_.origins_max) forget_ended(now);
    if (minutes_.size() >= limits_.origins_max) wanted.origin.clear();
    return minutes_.try_emplace(std::move(wanted), minute{now + limits_.period, 0, 0})
        .first->second;
}

/// Those that have nothing to tell.
void repeated_lines::forget_ended(time_point now) {
    std::erase_if(minutes_, [now](const auto& each) {
        return now >= each.second.end && each.second.left_out == 0;
    });
}

} // namespace muxsocks
