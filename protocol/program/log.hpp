#pragma once

/// \file
/// The log of both programs: one line an event, to standard error or to a file, as text or JSON.
///
/// Nothing is formatted below the level in force, and a line that is written is one write(2), so
/// lines of several threads never mix. Control characters never reach the output: what a line
/// carries of them is replaced, and what comes from the wire goes through escape() first, so that
/// it cannot look like a line of ours. All functions may be called from any thread.
/// What spdlog is used for stays in log.cpp.

#include "protocol/program/settings.hpp"

#ifdef SPDLOG_FMT_EXTERNAL
#include <fmt/core.h>
#else
#include <spdlog/fmt/bundled/core.h>
#endif

#include <cstddef>
#include <string>
#include <string_view>

namespace muxsocks::log {

/// Starts logging as `settings` say. Before it, lines from level info go to standard error as text.
/// May be called again for a reload. Throws config_error if the file cannot be opened; then nothing
/// has changed.
void open(const log_settings& settings);

/// Opens the file anew under its name (after logrotate moved it away). If that fails, the old file
/// goes on being written and a warning in it says why. Does nothing on standard error.
void reopen();

void set_level(log_level level) noexcept;

/// Whether lines of this level are written.
[[nodiscard]] bool enabled(log_level level) noexcept;

/// Whether names and addresses of destinations may stand in lines above debug (log.destinations).
[[nodiscard]] bool destinations_shown() noexcept;

/// Text from outside, made safe to print: everything but printable ASCII becomes \xNN, backslashes
/// and quotation marks get a backslash; at most `limit` bytes of the input are shown, then "...".
[[nodiscard]] std::string escape(std::string_view text, std::size_t limit = 256);

/// Writes one line, whatever the level in force. For the functions below.
void write(log_level level, fmt::string_view format, fmt::format_args arguments) noexcept;

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
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(log_level::error, format, fmt::make_format_args(args...));
}

} // namespace muxsocks::log
