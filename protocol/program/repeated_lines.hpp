#pragma once

/// \file
/// Which lines of a kind are written, and how many were not: lines that strangers can cause, or
/// that one cause repeats, would fill the log. The first few of each minute are; a line at its end
/// tells the number of the others.
///
/// Kinds are the program's own and so are few; a kind may be counted for each of many origins (an
/// address, a user), of which a bounded number is told apart. No clock, no lock: time comes in.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks {

class repeated_lines {
  public:
    using time_point = std::chrono::steady_clock::time_point;

    struct limits {
        std::uint32_t first_lines = 5; ///< Of a minute, written as they are.
        std::chrono::seconds period{60};
        std::size_t origins_max = 1024; ///< Told apart at once; all others are one.
    };
    struct summary {
        std::string kind;
        std::string origin; ///< Empty if there is none, or it is one of too many.
        std::uint64_t lines = 0;
    };

    repeated_lines() : repeated_lines(limits()) {}
    explicit repeated_lines(limits within) : limits_(within) {}

    /// Whether a line of the kind, and of the origin if it is not empty, is written now.
    bool admit(std::string_view kind, std::string_view origin, time_point now);
    /// Kinds whose minute has ended, with the number of lines that were not written, if any.
    std::vector<summary> due(time_point now);
    /// When the next number is due: nothing while no line has been left out.
    std::optional<time_point> next() const { return next_; }

  private:
    struct key {
        std::string kind;
        std::string origin;
        auto operator<=>(const key&) const = default;
    };
    struct minute {
        time_point end;
        std::uint32_t written = 0;
        std::uint64_t left_out = 0;
    };

    minute& find(std::string_view kind, std::string_view origin, time_point now);
    void forget_ended(time_point now);

    limits limits_;
    std::map<key, minute> minutes_;
    std::optional<time_point> next_;
};

} // namespace muxsocks
