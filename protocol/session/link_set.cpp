#include "protocol/session/link_set.hpp"

#include <algorithm>

namespace muxsocks {

std::size_t link_set::up_count() const {
    return static_cast<std::size_t>(
        std::count_if(begin(), end(), [](const auto& each) { return each->up(); }));
}

link_state* link_set::find(link_number number) const {
    for (const auto& each : links_)
        if (each->number == number) return each.get();
    return nullptr;
}

link_state& link_set::add(std::unique_ptr<link_state> added) {
    links_.push_back(std::move(added));
    choose();
    return *links_.back();
}

std::unique_ptr<link_state> link_set::remove(link_state& lost) {
    const auto at =
        std::find_if(links_.begin(), links_.end(), [&](const auto& l) { return l.get() == &lost; });
    auto taken = std::move(*at);
    links_.erase(at);
    choose();
    return taken;
}

link_state* link_set::usable(link_number number) const {
    const auto found = find(number);
    return found && found->up() && !found->avoided ? found : nullptr;
}

link_state* link_set::newest() const {
    link_state* avoided = nullptr;
    link_state* joining = nullptr;
    for (auto at = links_.rbegin(); at != links_.rend(); ++at) {
        auto& each = **at;
        if (each.up() && !each.avoided) return &each;
        auto& second = each.up() ? avoided : joining;
        if (!second) second = &each;
    }
    return avoided ? avoided : joining;
}

void link_set::choose() {
    const auto other = newest();
    small_ = usable(roles_.small);
    if (!small_) small_ = other;
    twice_ = usable(roles_.twice);
    if (twice_ == small_) twice_ = nullptr;
    bulk_count_ = 0;
    for (const auto number : roles_.bulk)
        if (const auto found = usable(number)) bulk_[bulk_count_++] = found;
    if (bulk_count_ == 0 && other) bulk_[bulk_count_++] = other;
}

link_state* link_set::most_silent(const link_state* not_this) const {
    link_state* found = nullptr;
    for (const auto& each : links_) {
        if (each.get() == not_this) continue;
        if (!found || each->alive.last_heard() < found->alive.last_heard()) found = each.get();
    }
    return found;
}

duration link_set::rtt() const {
    duration longest{};
    for (const auto& each : links_)
        longest = std::max(longest, each->alive.rtt());
    return longest;
}

} // namespace muxsocks
