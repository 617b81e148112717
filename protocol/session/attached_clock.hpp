#pragma once

/// \file
/// Time that counts only while the session has a link, and what falls due by it: streams whose
/// refusal is acknowledged and whose peer has not ended them.

#include "protocol/flow_control.hpp"

#include <algorithm>
#include <deque>
#include <optional>

namespace muxsocks {

class attached_clock {
  public:
    void start(instant now) {
        if (!since_) since_ = now;
    }
    void stop(instant now) {
        if (since_) passed_ += now - *since_;
        since_.reset();
    }
    duration passed(instant now) const { return since_ ? passed_ + (now - *since_) : passed_; }

    /// The stream falls due when `after` has passed; always the same `after`.
    void set(std::uint32_t stream_id, duration after, instant now) {
        due_.emplace_back(passed(now) + after, stream_id);
    }
    /// When the first one falls due, if time passes.
    std::optional<instant> deadline() const {
        if (!since_ || due_.empty()) return {};
        return *since_ + (due_.front().first - passed_);
    }
    /// Takes one out that is due.
    std::optional<std::uint32_t> next_due(instant now) {
        if (due_.empty() || passed(now) < due_.front().first) return {};
        const auto id = due_.front().second;
        due_.pop_front();
        return id;
    }
    void clear() { due_.clear(); }
    /// The time that each one has left, in their order; and such a one again, in the same order.
    template <typename Function>
    void for_each(instant now, Function function) const {
        for (const auto& [due, id] : due_)
            function(id, std::max(duration{}, due - passed(now)));
    }

  private:
    duration passed_{};
    std::optional<instant> since_;
    std::deque<std::pair<duration, std::uint32_t>> due_;
};

} // namespace muxsocks
