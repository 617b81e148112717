#include "protocol/program/log.hpp"

#include "protocol/program/config_error.hpp"
#include "protocol/program/journal.hpp"
#include "protocol/program/log_writer.hpp"
#include "protocol/program/repeated_lines.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/pattern_formatter.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <poll.h>
#include <system_error>
#include <unistd.h>

namespace muxsocks::log {

namespace {

constexpr const char* text_pattern = "%Y-%m-%dT%H:%M:%S.%e%z %-7l %*";
/// Parts between separators, of which journal::record makes fields.
constexpr const char* journal_pattern = "%*";
constexpr const char* json_pattern =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%*})";

/// Owner and group may read what may name users and destinations.
constexpr mode_t file_mode = 0640;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_printable_ascii(char c) { return c >= ' ' && c <= '~'; }

template <class Output>
void append_hex(Output& output, char c) {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    for (const char part : {'\\', 'x', digits[byte >> 4U], digits[byte & 15U]}) {
        output.push_back(part);
    }
}

/// The one logger needs no name: what spdlog carries as such is the reason of the line.
std::string_view reason_of(const spdlog::details::log_msg& message) {
    return {message.logger_name.data(), message.logger_name.size()};
}

/// The message of a text line: whatever it is, it stays one line.
class text_message final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
                spdlog::memory_buf_t& output) override {
        for (const char c : message.payload) {
            if (is_control(c)) {
                append_hex(output, c);
            } else {
                output.push_back(c);
            }
        }
        const auto reason = reason_of(message);
        if (reason.empty()) return;
        const auto text = " [" + std::string(reason) + "]";
        output.append(text.data(), text.data() + text.size());
    }

    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<text_message>();
    }
};

/// The message as a JSON string with its quotation marks, and the reason as a further member; what
/// is not UTF-8 becomes U+FFFD.
class json_message final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
                spdlog::memory_buf_t& output) override {
        using nlohmann::json;
        const json payload(std::string(message.payload.data(), message.payload.size()));
        const std::string text = payload.dump(-1, ' ', false, json::error_handler_t::replace);
        output.append(text.data(), text.data() + text.size());
        const auto reason = reason_of(message);
        if (reason.empty()) return;
        const auto member = ",\"reason\":\"" + std::string(reason) + "\"";
        output.append(member.data(), member.data() + member.size());
    }

    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<json_message>();
    }
};

/// Priority of syslog(3), reason, and the message as text lines have it.
class journal_message final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm& time,
                spdlog::memory_buf_t& output) override {
        output.push_back(priority_of(message.level));
        output.push_back(journal::separator);
        const auto reason = reason_of(message);
        output.append(reason.data(), reason.data() + reason.size());
        output.push_back(journal::separator);
        text_.format(message, time, output);
    }

    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<journal_message>();
    }

  private:
    static char priority_of(spdlog::level::level_enum level) {
        switch (level) {
        case spdlog::level::err:
            return '3';
        case spdlog::level::warn:
            return '4';
        case spdlog::level::info:
            return '6';
        default:
            return '7';
        }
    }

    text_message text_;
};

enum class line_kind : std::uint8_t { text, json, journal };

line_kind kind_of(log_format format) {
    return format == log_format::json ? line_kind::json : line_kind::text;
}

std::unique_ptr<spdlog::formatter> make_formatter(line_kind kind) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    switch (kind) {
    case line_kind::json:
        formatter->add_flag<json_message>('*').set_pattern(json_pattern);
        break;
    case line_kind::journal:
        formatter->add_flag<journal_message>('*').set_pattern(journal_pattern);
        break;
    case line_kind::text:
        formatter->add_flag<text_message>('*').set_pattern(text_pattern);
    }
    return formatter;
}

/// A socket to the journal if standard error is the journal anyway, and the lines are to be text:
/// JSON is for who reads it as such. Else -1.
int open_journal(const log_settings& settings) {
    const char* const stream = std::getenv("JOURNAL_STREAM");
    if (!settings.file.empty() || settings.format != log_format::text || stream == nullptr ||
        !journal::is_stream(STDERR_FILENO, stream))
        return -1;
    return journal::open();
}

/// -1 with errno. A FIFO that nobody reads is ENXIO, instead of a wait without end.
int open_file(const std::string& path) {
    return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, file_mode);
}

std::string why_not_opened(int error) {
    if (error == ENXIO) return "it is a FIFO that nobody reads, so its reader has to start first";
    return std::generic_category().message(error);
}

/// For recent_problems().
class problem_list {
  public:
    void add(log_level level, std::string_view message) {
        const std::lock_guard lock(mutex_);
        if (all_.size() == most) all_.pop_back();
        all_.push_front({std::chrono::system_clock::now(), level, std::string(message)});
    }

    std::vector<problem> all() {
        const std::lock_guard lock(mutex_);
        return {all_.begin(), all_.end()};
    }

  private:
    static constexpr std::size_t most = 20;

    std::mutex mutex_;
    std::deque<problem> all_;
};

/// What makes a line of a message.
class line_format {
  public:
    /// `redirect` has lines go to where those of this kind belong.
    template <class Function>
    void set(line_kind kind, Function redirect) {
        auto next = make_formatter(kind);
        const std::lock_guard lock(mutex_);
        formatter_ = std::move(next);
        redirect();
    }

    /// spdlog's formatters keep the second that they have formatted last.
    void format(log_level level, std::string_view message, std::string_view reason,
                spdlog::memory_buf_t& line) {
        format(level, message, reason, line, [] {});
    }
    /// `use` takes the line to where those of its kind go now.
    template <class Function>
    void format(log_level level, std::string_view message, std::string_view reason,
                spdlog::memory_buf_t& line, Function use) {
        const spdlog::details::log_msg whole(spdlog::string_view_t(reason.data(), reason.size()),
                                             static_cast<spdlog::level::level_enum>(level),
                                             spdlog::string_view_t(message.data(), message.size()));
        const std::lock_guard lock(mutex_);
        formatter_->format(whole, line);
        use();
    }

  private:
    std::mutex mutex_;
    std::unique_ptr<spdlog::formatter> formatter_ = make_formatter(line_kind::text);
};

/// Lines of kinds, with the lock that they need.
struct counted_kinds {
    std::mutex mutex;
    repeated_lines lines;
};

void say_left_out(repeated_lines::time_point until);

struct state {
    void add(log_level level, std::string_view message, std::string_view reason = {}) {
        if (level >= log_level::warning) problems.add(level, message);
        spdlog::memory_buf_t line;
        format.format(level, message, reason, line, [&] {
            writer.add({line.data(), line.size()});
        });
    }

    line_format format;
    problem_list problems;
    counted_kinds kinds;
    std::mutex file_mutex;
    std::string file;
    bool on_standard_error = true;
    log_writer writer{{[this](std::string_view message) {
                           spdlog::memory_buf_t line;
                           format.format(log_level::warning, message, {}, line);
                           return std::string(line.data(), line.size());
                       },
                       [] { say_left_out(std::chrono::steady_clock::now()); }}};
};

/// Never destroyed: threads may log until the very end of the process.
state& shared_state() {
    static state* const instance = new state;
    return *instance;
}

/// Whether there is something to wait for at the end.
std::atomic<bool> in_use{false};

void say_left_out(repeated_lines::time_point until) {
    auto& shared = shared_state();
    std::vector<repeated_lines::summary> left_out;
    {
        const std::lock_guard lock(shared.kinds.mutex);
        left_out = shared.kinds.lines.due(until);
        if (const auto next = shared.kinds.lines.next()) shared.writer.wake_at(*next);
    }
    for (const auto& each : left_out)
        shared.add(log_level::info,
                   fmt::format("{}{}{}: {} more like this in the last minute", each.kind,
                               each.origin.empty() ? "" : " of ", each.origin, each.lines));
}

std::atomic<log_level> level_in_force{log_level::info};
std::atomic<bool> destinations_in_force{false};

static_assert(static_cast<int>(log_level::trace) == SPDLOG_LEVEL_TRACE);
static_assert(static_cast<int>(log_level::error) == SPDLOG_LEVEL_ERROR);

} // namespace

void open(const log_settings& settings) {
    auto& shared = shared_state();
    int file = -1;
    if (!settings.file.empty() && (file = open_file(settings.file)) < 0)
        throw config_error("log.file: cannot write to \"" + settings.file +
                           "\": " + why_not_opened(errno) + ".");
    const std::lock_guard lock(shared.file_mutex);
    const int to_journal = open_journal(settings);
    const auto kind = to_journal >= 0 ? line_kind::journal : kind_of(settings.format);
    shared.format.set(kind, [&] {
        if (file >= 0)
            shared.writer.write_to_file(file, settings.file);
        else if (to_journal >= 0)
            shared.writer.write_to_journal(to_journal);
        else if (!shared.on_standard_error)
            shared.writer.write_to_standard_error();
    });
    shared.on_standard_error = file < 0 && to_journal < 0;
    shared.file = settings.file;
    set_level(settings.level);
    destinations_in_force.store(settings.destinations, std::memory_order_relaxed);
}

void reopen() {
    auto& shared = shared_state();
    const std::lock_guard lock(shared.file_mutex);
    if (shared.file.empty()) return;
    const int file = open_file(shared.file);
    if (file < 0) {
        warning("cannot open the log file \"{}\" anew, so the old one goes on: {}", shared.file,
                why_not_opened(errno));
        return;
    }
    shared.writer.write_to_file(file, shared.file);
}

bool flush(std::chrono::milliseconds limit) {
    if (!in_use) return true;
    say_left_out(repeated_lines::time_point::max());
    return shared_state().writer.flush(limit);
}

void say_at_exit(std::string_view text) noexcept {
    try {
        (void)flush();
        const std::string line = std::string(text) + "\n";
        ::pollfd one{STDERR_FILENO, POLLOUT, 0};
        if (::poll(&one, 1, 1000) > 0) (void)!::write(STDERR_FILENO, line.data(), line.size());
    } catch (...) {
        // Out of memory: the exit code has to do.
    }
}

void set_level(log_level level) noexcept { level_in_force.store(level, std::memory_order_relaxed); }

bool enabled(log_level level) noexcept {
    return level >= level_in_force.load(std::memory_order_relaxed);
}

bool destinations_shown() noexcept { return destinations_in_force.load(std::memory_order_relaxed); }

std::vector<problem> recent_problems() { return shared_state().problems.all(); }

std::string escape(std::string_view text, std::size_t limit) {
    std::string result;
    for (const char c : text.substr(0, limit)) {
        if (c == '\\' || c == '"') {
            result += '\\';
            result += c;
        } else if (is_printable_ascii(c)) {
            result += c;
        } else {
            append_hex(result, c);
        }
    }
    if (text.size() > limit) result += "...";
    return result;
}

log_level level_of(const kind& of, log_level level) noexcept {
    if (!enabled(level)) return level;
    try {
        auto& shared = shared_state();
        const std::lock_guard lock(shared.kinds.mutex);
        auto& lines = shared.kinds.lines;
        if (lines.admit(of.name, of.origin, std::chrono::steady_clock::now())) return level;
        if (const auto next = lines.next()) shared.writer.wake_at(*next);
    } catch (...) {
        // Out of memory: it is left out.
    }
    return log_level::debug;
}

void write(log_level level, fmt::string_view format, fmt::format_args arguments,
           std::string_view reason) noexcept {
    try {
        in_use.store(true, std::memory_order_relaxed);
        shared_state().add(level, fmt::vformat(format, arguments), reason);
    } catch (...) {
        // Out of memory, or a bad format that the compiler could not see: a line less.
    }
}

} // namespace muxsocks::log
