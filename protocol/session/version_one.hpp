#pragma once

/// \file
/// What only a session with a peer of version 1 has: no flow control, so that a stream that is not
/// taken from pauses the whole link, for a while.

#include "protocol/session/stream.hpp"

#include <vector>

namespace muxsocks {

class version_one {
  public:
    static constexpr std::size_t unread_max = 4 * 1024 * 1024; ///< A stream; above it a pause.
    static constexpr std::size_t backlog_max = 64; ///< Streams that nobody has taken up yet.
    static constexpr duration pause_max = std::chrono::seconds(5);

    bool paused() const { return !over_.empty(); }
    /// At the end of a batch: whether the stream is over its buffer.
    void look(stream& s, instant now) {
        if (s.closed || s.unread.size() <= unread_max) return;
        if (over_.empty()) since_ = now;
        const auto known = [&s](const overflow& each) { return each.subject == &s; };
        if (std::none_of(over_.begin(), over_.end(), known))
            over_.push_back({&s, s.recv.consumed()});
    }
    /// The stream has room again, or is gone. Whether the pause is over.
    bool forgive(const stream& s) {
        const auto its = [&s](const overflow& each) { return each.subject == &s; };
        return std::erase_if(over_, its) > 0 && over_.empty();
    }
    std::optional<instant> deadline() const {
        return over_.empty() ? std::nullopt : std::optional(since_ + pause_max);
    }
    /// The pause has been long enough: those that moved are forgiven, the others returned. What
    /// moves, however slowly, is read on for.
    std::vector<stream*> time_out() {
        std::vector<stream*> stuck;
        for (const auto& each : over_)
            if (each.subject->recv.consumed() == each.consumed) stuck.push_back(each.subject);
        std::erase_if(over_, [](const overflow& each) {
            return each.subject->recv.consumed() > each.consumed;
        });
        return stuck;
    }
    void clear() { over_.clear(); }

  private:
    struct overflow {
        stream* subject;
        std::uint64_t consumed; ///< When the pause began: whether it has moved since.
    };

    std::vector<overflow> over_;
    instant since_{};
};

} // namespace muxsocks
