#include "protocol/program/log.hpp"

#include "protocol/program/config_error.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <system_error>
#include <unistd.h>

namespace muxsocks::log {

namespace {

constexpr const char* text_pattern = "%Y-%m-%dT%H:%M:%S.%e%z %-7l %*";
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
    }

    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<text_message>();
    }
};

/// The message as a JSON string with its quotation marks; what is not UTF-8 becomes U+FFFD.
class json_message final : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
                spdlog::memory_buf_t& output) override {
        using nlohmann::json;
        const json payload(std::string(message.payload.data(), message.payload.size()));
        const std::string text = payload.dump(-1, ' ', false, json::error_handler_t::replace);
        output.append(text.data(), text.data() + text.size());
    }

    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<json_message>();
    }
};

std::unique_ptr<spdlog::formatter> make_formatter(log_format format) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    if (format == log_format::json) {
        formatter->add_flag<json_message>('*').set_pattern(json_pattern);
    } else {
        formatter->add_flag<text_message>('*').set_pattern(text_pattern);
    }
    return formatter;
}

int open_file(const std::string& path) {
    return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, file_mode);
}

/// Lines to a descriptor: standard error, or a file of its own that can be exchanged.
class descriptor_sink final : public spdlog::sinks::base_sink<std::mutex> {
  public:
    descriptor_sink() { formatter_ = make_formatter(log_format::text); }
    ~descriptor_sink() override { close_file(); }
    descriptor_sink(const descriptor_sink&) = delete;
    descriptor_sink& operator=(const descriptor_sink&) = delete;

    /// Returns errno; then nothing has changed.
    int configure(const std::string& path, log_format format) {
        int fd = STDERR_FILENO;
        if (!path.empty()) fd = open_file(path);
        if (fd < 0) return errno;
        const std::lock_guard lock(mutex_);
        close_file();
        fd_ = fd;
        path_ = path;
        formatter_ = make_formatter(format);
        return 0;
    }

    /// Returns errno; then the old file goes on.
    int reopen() {
        const std::lock_guard lock(mutex_);
        if (path_.empty()) return 0;
        const int fd = open_file(path_);
        if (fd < 0) return errno;
        close_file();
        fd_ = fd;
        return 0;
    }

    [[nodiscard]] std::string path() {
        const std::lock_guard lock(mutex_);
        return path_;
    }

  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        std::string_view rest(line.data(), line.size());
        while (!rest.empty()) {
            const ssize_t n = ::write(fd_, rest.data(), rest.size());
            if (n < 0 && errno == EINTR) continue;
            // Full disk, closed pipe: the line is lost, the program goes on.
            if (n <= 0) return;
            rest.remove_prefix(static_cast<std::size_t>(n));
        }
    }

    void flush_() override {}

  private:
    void close_file() {
        if (fd_ != STDERR_FILENO) ::close(fd_);
        fd_ = STDERR_FILENO;
    }

    int fd_ = STDERR_FILENO;
    std::string path_;
};

struct state {
    state() : sink(std::make_shared<descriptor_sink>()), logger("muxsocks", sink) {
        logger.set_level(spdlog::level::trace);
    }

    std::shared_ptr<descriptor_sink> sink;
    spdlog::logger logger;
};

/// Never destroyed: threads may log until the very end of the process.
state& shared_state() {
    static state* const instance = new state;
    return *instance;
}

std::atomic<log_level> level_in_force{log_level::info};
std::atomic<bool> destinations_in_force{false};

static_assert(static_cast<int>(log_level::trace) == SPDLOG_LEVEL_TRACE);
static_assert(static_cast<int>(log_level::error) == SPDLOG_LEVEL_ERROR);

} // namespace

void open(const log_settings& settings) {
    if (const int error = shared_state().sink->configure(settings.file, settings.format)) {
        throw config_error("log.file: cannot write to \"" + settings.file +
                           "\": " + std::generic_category().message(error) + ".");
    }
    set_level(settings.level);
    destinations_in_force.store(settings.destinations, std::memory_order_relaxed);
}

void reopen() {
    if (const int error = shared_state().sink->reopen()) {
        warning("cannot open the log file \"{}\" anew, so the old one goes on: {}",
                shared_state().sink->path(), std::generic_category().message(error));
    }
}

void set_level(log_level level) noexcept { level_in_force.store(level, std::memory_order_relaxed); }

bool enabled(log_level level) noexcept {
    return level >= level_in_force.load(std::memory_order_relaxed);
}

bool destinations_shown() noexcept { return destinations_in_force.load(std::memory_order_relaxed); }

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

void write(log_level level, fmt::string_view format, fmt::format_args arguments) noexcept {
    try {
        shared_state().logger.log(static_cast<spdlog::level::level_enum>(level),
                                  fmt::vformat(format, arguments));
    } catch (...) {
        // Out of memory, or a bad format that the compiler could not see: a line less.
    }
}

} // namespace muxsocks::log
