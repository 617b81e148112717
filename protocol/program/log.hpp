#pragma once

/// \file
/// The log of both programs: one line an event, to standard error or to a file, as text or JSON;
/// where standard error is the journal's, as records with fields instead of text.
///
/// Nothing is formatted below the level in force. Lines are written by a thread of their own
/// (log_writer), so nobody ever waits for whoever reads them; lines of several threads never mix.
/// Control characters never reach the output: what a line
/// carries of them is replaced, and what comes from the wire goes through escape() first, so that
/// it cannot look like a line of ours. All functions may be called from any thread.
/// What spdlog is used for stays in log.cpp.

#include "protocol/program/settings.hpp"

#ifdef SPDLOG_FMT_EXTERNAL
#include <fmt/core.h>
#else
#include <spdlog/fmt/bundled/core.h>
#endif

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace muxsocks::log {

/// Starts logging as `settings` say. Before it, lines from level info go to standard error as text.
/// May be called again for a reload. Throws config_error if the file cannot be opened, or is a FIFO
/// that nobody reads; then nothing has changed.
void open(const log_settings& settings);

/// Opens the file anew under its name (after logrotate moved it away). If that fails, the old file
/// goes on being written and a warning in it says why. Does nothing on standard error.
void reopen();

/// Waits until all lines are written or lost, but no longer; says before how many lines of each
/// kind() were left out. False if it takes longer.
bool flush(std::chrono::milliseconds limit = std::chrono::seconds(1));

/// The last thing that a program says, for main(): a line on standard error, as it is, behind what
/// is in the log. Gives up after a second or two if nobody reads.
void say_at_exit(std::string_view text) noexcept;

void set_level(log_level level) noexcept;

/// Whether lines of this level are written.
[[nodiscard]] bool enabled(log_level level) noexcept;

/// Whether names and addresses of destinations may stand in lines above debug (log.destinations).
[[nodiscard]] bool destinations_shown() noexcept;

/// A line of level warning or error.
struct problem {
    std::chrono::system_clock::time_point time;
    log_level level = log_level::warning;
    std::string message;
};

/// The last of them, the newest first; 20 at most.
[[nodiscard]] std::vector<problem> recent_problems();

/// Text from outside, made safe to print: everything but printable ASCII becomes \xNN, backslashes
/// and quotation marks get a backslash; at most `limit` bytes of the input are shown, then "...".
[[nodiscard]] std::string escape(std::string_view text, std::size_t limit = 256);

/// Writes one line, whatever the level in force. For the functions below. `reason`: of because.
void write(log_level level, fmt::string_view format, fmt::format_args arguments,
           std::string_view reason = {}) noexcept;

/// Why a link or stream has ended, in the word that metrics count it by (end_reason.hpp): text
/// lines have it in brackets at their end, JSON has a member `reason`.
struct because {
    std::string_view reason;
};

/// A kind of line that strangers can cause as often as they like, or that repeats as long as its
/// cause lasts: the first few of a minute are written, and at its end the number of the others;
/// these go to debug. `name` is a plural that the number is put behind; each `origin`, if there is
/// one, is counted for itself.
struct kind {
    std::string_view name;
    std::string_view origin = {};
};

/// The level that a line of the kind has now: `level`, or debug when it is one too many.
[[nodiscard]] log_level level_of(const kind& of, log_level level) noexcept;

template <class... Args>
void trace(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(log_level::trace)) {
        write(log_level::trace, format, fmt::make_format_args(args...));
    }
}

/// One line a stream belongs here.
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(log_level::debug)) {
        write(log_level::debug, format, fmt::make_format_args(args...));
    }
}

/// One line a link up or down belongs here.
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(log_level::info)) {
        write(log_level::info, format, fmt::make_format_args(args...));
    }
}

template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(log_level::warning)) {
        write(log_level::warning, format, fmt::make_format_args(args...));
    }
}

template <class... Args>
void info(const kind& of, fmt::format_string<Args...> format, Args&&... args) {
    if (const auto level = level_of(of, log_level::info); enabled(level)) {
        write(level, format, fmt::make_format_args(args...));
    }
}

template <class... Args>
void warning(const kind& of, fmt::format_string<Args...> format, Args&&... args) {
    if (const auto level = level_of(of, log_level::warning); enabled(level)) {
        write(level, format, fmt::make_format_args(args...));
    }
}

template <class... Args>
void debug(const because& why, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(log_level::debug)) {
        write(log_level::debug, format, fmt::make_format_args(args...), why.reason);
    }
}

template <class... Args>
void info(const because& why, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(log_level::info)) {
        write(log_level::info, format, fmt::make_format_args(args...), why.reason);
    }
}

template <class... Args>
void warning(const because& why, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(log_level::warning)) {
        write(log_level::warning, format, fmt::make_format_args(args...), why.reason);
    }
}

template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(log_level::error, format, fmt::make_format_args(args...));
}

} // namespace muxsocks::log
