#pragma once

/// \file
/// A session whose user may not go on for now, or for good: it is told at once, its new streams are
/// refused, and what runs has a while to end. Free of I/O and clocks.

#include "protocol/session/control.hpp"

#include <chrono>
#include <optional>
#include <utility>

namespace muxsocks::server {

class user_bar {
  public:
    using instant = std::chrono::steady_clock::time_point;
    /// What runs may go on for so long.
    static constexpr std::chrono::seconds grace{60};

    enum class step {
        none,
        tell, ///< The user is barred from now on, or for another reason than before.
        lift, ///< No more.
        end,  ///< The time of what runs is over; again and again.
    };

    /// `cause`: why the user may not go on now, as it is to be told.
    step look(std::optional<notice_frame> cause, instant now) {
        if (!cause) return std::exchange(cause_, std::nullopt) ? step::lift : step::none;
        const bool news = !cause_ || cause_->code != cause->code || cause_->text != cause->text;
        if (!cause_) since_ = now;
        cause_ = std::move(cause);
        if (news) return step::tell;
        return now - since_ >= grace ? step::end : step::none;
    }
    /// What a stream that is refused is told; none while the user may go on.
    [[nodiscard]] const std::optional<notice_frame>& cause() const { return cause_; }

  private:
    std::optional<notice_frame> cause_;
    instant since_{};
};

} // namespace muxsocks::server
