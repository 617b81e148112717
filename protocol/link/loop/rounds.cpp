#include "protocol/link/loop/rounds.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace muxsocks {

void round_share::come_to_round() {
    if (round_ == of_.round_) return;
    round_ = of_.round_;
    used_ = {};
}

bool round_share::may_begin() {
    come_to_round();
    return (waiting_.empty() || doing_) && used_ < of_.share();
}

round_share::clock::duration round_share::left() {
    come_to_round();
    return of_.share() - used_ - (in_use_ ? of_.now_() - since_ : clock::duration());
}

void round_share::later(unique_function<void()> work) {
    if (waiting_.empty() && !doing_) of_.waiting_.emplace_back(this);
    waiting_.push_back(std::move(work));
    of_.go_on();
}

void round_share::behind(unique_function<void()> work) {
    of_.behind_.push_back({share_ptr(this), std::move(work)});
    of_.go_on();
}

void round_share::do_what_waits() {
    come_to_round();
    doing_ = true;
    // What is put off meanwhile is for another round, though there be time left.
    auto due = waiting_.size();
    do {
        auto work = std::move(waiting_.front());
        waiting_.pop_front();
        const use now(*this);
        work();
    } while (--due > 0 && used_ < of_.share());
    doing_ = false;
}

round_share::use::use(round_share& of) {
    if (std::exchange(of.in_use_, true)) return;
    of_ = &of;
    of.since_ = of.of_.now_();
}

round_share::use::~use() {
    if (!of_) return;
    of_->come_to_round();
    of_->used_ += of_->of_.now_() - of_->since_;
    of_->in_use_ = false;
    if (of_->used_ >= of_->of_.share()) of_->of_.go_on();
}

rounds::~rounds() {
    posted_ = true; // What is let go of may put something off.
    for (const auto& each : std::exchange(waiting_, {}))
        std::exchange(each->waiting_, {}).clear();
    std::exchange(behind_, {}).clear();
}

void rounds::go_on() {
    if (std::exchange(posted_, true)) return;
    asio::post(context_, [this] { on_round(); });
}

void rounds::do_what_is_behind() {
    if (behind_.empty()) return;
    const auto end = now_() + length;
    do {
        auto next = std::move(behind_.front());
        behind_.pop_front();
        const round_share::use now(*next.of);
        next.work();
    } while (!behind_.empty() && now_() < end);
}

void rounds::on_round() {
    posted_ = false;
    ++round_;
    sharing_ = std::max<std::size_t>(waiting_.size(), 1);
    const auto end = now_() + length_max;
    for (auto due = waiting_.size(); due > 0; --due) {
        const auto one = std::move(waiting_.front());
        waiting_.pop_front();
        one->do_what_waits();
        if (!one->waiting_.empty()) waiting_.push_back(one);
        if (now_() >= end) break;
    }
    do_what_is_behind();
    // With shares that are whole again.
    if (!waiting_.empty() || !behind_.empty() || sharing_ > 1) go_on();
}

} // namespace muxsocks
