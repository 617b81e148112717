#include "server/fair_places.hpp"

namespace muxsocks::server {

bool fair_places::may_have_one_more(const share& of) const {
    const std::size_t free = count_ - taken_;
    return free > 0 && of.held <= free && of.held < of.most;
}

bool fair_places::take(claim& one, std::string_view user, std::size_t most) {
    auto found = shares_.find(user);
    if (found == shares_.end()) {
        found = shares_.try_emplace(std::string(user)).first;
        found->second.user = found->first;
    }
    share& own = found->second;
    own.most = most;
    one.share_ = &own;
    if (own.line.empty() && may_have_one_more(own)) {
        one.state_ = claim::state::held;
        ++own.held;
        ++taken_;
        return true;
    }
    one.state_ = claim::state::waiting;
    if (own.line.empty()) turn_.push_back(own);
    own.line.push_back(one);
    ++waiting_;
    return false;
}

void fair_places::leave(claim& one) {
    if (one.state_ == claim::state::none) return;
    share& own = *one.share_;
    if (one.state_ == claim::state::held) {
        --own.held;
        --taken_;
    } else {
        own.line.erase(own.line.iterator_to(one));
        if (own.line.empty()) turn_.erase(turn_.iterator_to(own));
        --waiting_;
    }
    one.state_ = claim::state::none;
    one.share_ = nullptr;
    forget_if_idle(own);
}

fair_places::claim* fair_places::next() {
    share* const user = first_in_turn(false) ? first_in_turn(false) : first_in_turn(true);
    if (user == nullptr) return nullptr;
    claim& one = user->line.front();
    user->line.pop_front();
    turn_.erase(turn_.iterator_to(*user));
    if (!user->line.empty()) turn_.push_back(*user);
    one.state_ = claim::state::held;
    ++user->held;
    ++taken_;
    --waiting_;
    return &one;
}

fair_places::share* fair_places::first_in_turn(bool of_all) {
    for (share& each : turn_) {
        if (!of_all && 4 * each.held >= count_) continue;
        if (may_have_one_more(each)) return &each;
    }
    return nullptr;
}

void fair_places::forget_if_idle(share& one) {
    if (one.held == 0 && one.line.empty()) shares_.erase(shares_.find(one.user));
}

std::size_t fair_places::held_by(std::string_view user) const {
    const auto found = shares_.find(user);
    return found == shares_.end() ? 0 : found->second.held;
}

} // namespace muxsocks::server
