#include "protocol/program/log_writer.hpp"

#include "protocol/program/journal.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <system_error>
#include <utility>

namespace muxsocks {
namespace {

/// No signal is handled in this thread: whoever waits for one shall be woken by it.
std::thread start_without_signals(std::function<void()> work) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        std::thread started(std::move(work));
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        return started;
    } catch (...) {
        ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
    }
}

bool is_writable(int descriptor) {
    ::pollfd one{descriptor, POLLOUT, 0};
    return ::poll(&one, 1, 0) > 0;
}

bool is_regular_file(int descriptor) {
    struct ::stat found {};
    return ::fstat(descriptor, &found) == 0 && S_ISREG(found.st_mode);
}

std::uint64_t lines_in(std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

/// Whole lines, of at most PIPE_BUF if there is more than one.
std::string_view next_piece(std::string_view text) {
    constexpr std::size_t most = PIPE_BUF;
    if (text.size() <= most) return text;
    auto end = text.substr(0, most).rfind('\n');
    if (end == std::string_view::npos) end = text.find('\n');
    return end == std::string_view::npos ? text : text.substr(0, end + 1);
}

std::string lines_missing(std::uint64_t count) {
    return std::to_string(count) + (count == 1 ? " line is" : " lines are") + " missing here: ";
}

} // namespace

log_writer::target::target(int fd, std::string named, bool of_the_journal)
    : descriptor(fd),
      name(std::move(named)),
      regular_file(is_regular_file(fd)),
      records(of_the_journal) {}

log_writer::target::~target() {
    if (!name.empty()) ::close(descriptor);
}

log_writer::log_writer(callbacks call, std::size_t queue_bytes_max)
    : call_(std::move(call)),
      queue_bytes_max_(queue_bytes_max),
      event_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    batches_.push_back({std::make_shared<target>(STDERR_FILENO, std::string()), {}, 0, 0});
    thread_ = start_without_signals([this] { run(); });
}

log_writer::~log_writer() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    wake_.notify_one();
    (void)::eventfd_write(event_, 1);
    thread_.join();
    ::close(event_);
}

// ---- From any thread

void log_writer::add(std::string_view line) {
    const std::lock_guard lock(mutex_);
    if (queued_bytes_ + line.size() > queue_bytes_max_) {
        ++batches_.back().dropped;
        return;
    }
    // It stands behind the line that tells of those that were dropped.
    if (batches_.back().dropped > 0) {
        const auto same = batches_.back().to;
        batches_.push_back({same, {}, 0, 0});
    }
    auto& last = batches_.back();
    last.text += line;
    ++last.lines;
    queued_bytes_ += line.size();
    ++added_;
    if (waiting_) wake_.notify_one();
}

void log_writer::write_to_file(int descriptor, std::string name) {
    write_to(std::make_shared<target>(descriptor, std::move(name)));
}

void log_writer::write_to_standard_error() {
    write_to(std::make_shared<target>(STDERR_FILENO, std::string()));
}

void log_writer::write_to_journal(int descriptor) {
    write_to(std::make_shared<target>(descriptor, "the journal", true));
}

void log_writer::write_to(std::shared_ptr<target> next) {
    {
        const std::lock_guard lock(mutex_);
        batches_.push_back({std::move(next), {}, 0, 0});
    }
    wake_.notify_one();
    (void)::eventfd_write(event_, 1);
}

void log_writer::wake_at(clock::time_point when) {
    const std::lock_guard lock(mutex_);
    if (wake_time_ && *wake_time_ <= when) return;
    wake_time_ = when;
    if (waiting_) wake_.notify_one();
}

bool log_writer::flush(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    const auto until = added_;
    return progress_.wait_for(lock, limit, [&] { return done_ >= until; });
}

// ---- The writer's thread

void log_writer::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        const auto has_work = [&] {
            const auto& first = batches_.front();
            return ending_ || batches_.size() > 1 || first.lines > 0 || first.dropped > 0;
        };
        waiting_ = true;
        // Not wait_until() for ever: its end of time overflows in some libraries.
        if (!has_work() && wake_time_)
            wake_.wait_until(lock, *wake_time_);
        else if (!has_work())
            wake_.wait(lock);
        waiting_ = false;
        if (wake_time_ && clock::now() >= *wake_time_) {
            wake_time_.reset();
            lock.unlock();
            if (call_.on_wake) call_.on_wake();
            lock.lock();
        }
        if (!has_work()) continue;
        auto now = std::move(batches_.front());
        batches_.pop_front();
        if (batches_.empty()) batches_.push_back({now.to, {}, 0, 0});
        lock.unlock();
        write(now);
        lock.lock();
        queued_bytes_ -= now.text.size();
        done_ += now.lines;
        progress_.notify_all();
        const auto& next = batches_.front();
        if (ending_ && batches_.size() == 1 && next.lines == 0) return;
    }
}

void log_writer::write(const batch& now) {
    auto& to = *now.to;
    std::string_view rest = now.text;
    while (!rest.empty()) {
        const auto piece = next_piece(rest);
        missing_.lines += lines_in(report_missing(to) ? write_piece(to, piece) : piece);
        rest.remove_prefix(piece.size());
    }
    if (now.dropped == 0) return;
    missing_.lines += now.dropped;
    missing_.error = 0;
    (void)report_missing(to);
}

/// True if nothing is missing, or the log says it now.
bool log_writer::report_missing(target& to) {
    if (missing_.lines == 0) return true;
    const auto why = missing_.error == 0
                         ? std::string("they came faster than the log was read or written")
                         : std::generic_category().message(missing_.error);
    if (!write_piece(to, call_.make_line(lines_missing(missing_.lines) + why)).empty())
        return false;
    missing_ = {};
    return true;
}

/// Returns what of it is lost.
std::string_view log_writer::write_piece(target& to, std::string_view piece) {
    if (to.cut && !put(to, "\n").empty()) return piece;
    to.cut = false;
    const auto lost = put(to, piece);
    const auto written = piece.size() - lost.size();
    to.cut = !lost.empty() && written > 0 && piece[written - 1] != '\n';
    return lost;
}

std::string_view log_writer::put(target& to, std::string_view rest) {
    if (to.records) return put_records(to, rest);
    while (!rest.empty()) {
        if (!wait_writable(to)) {
            missing_.error = 0;
            return rest;
        }
        const auto written = ::write(to.descriptor, rest.data(), rest.size());
        if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (written <= 0) {
            missing_.error = errno;
            tell_failure(to, missing_.error);
            return rest;
        }
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
    return rest;
}

/// Whole lines.
std::string_view log_writer::put_records(target& to, std::string_view rest) {
    bool again = false;
    while (!rest.empty()) {
        if (!wait_writable(to)) {
            missing_.error = 0;
            return rest;
        }
        const auto end = std::min(rest.find('\n'), rest.size());
        const auto record = journal::record(rest.substr(0, end));
        if (::send(to.descriptor, record.data(), record.size(), MSG_NOSIGNAL) >= 0) {
            rest.remove_prefix(std::min(end + 1, rest.size()));
            again = false;
            continue;
        }
        if (errno == EINTR || errno == EAGAIN) continue;
        missing_.error = errno;
        // It may have been restarted with another socket.
        const int next = std::exchange(again, true) ? -1 : journal::open();
        if (next < 0) {
            tell_failure(to, missing_.error);
            return rest;
        }
        ::close(std::exchange(to.descriptor, next));
    }
    return rest;
}

/// False if it is time to go on without it.
bool log_writer::wait_writable(const target& to) {
    // What is wrong with a descriptor is named by write().
    while (!to.regular_file && !is_writable(to.descriptor)) {
        if (const std::lock_guard lock(mutex_); ending_ || batches_.back().to.get() != &to)
            return false;
        ::pollfd both[] = {{to.descriptor, POLLOUT, 0}, {event_, POLLIN, 0}};
        (void)::poll(both, 2, -1);
        eventfd_t ignored = 0;
        if (both[1].revents != 0) (void)::eventfd_read(event_, &ignored);
    }
    return true;
}

/// Standard error hears once of what is wrong with a file, if somebody reads it.
void log_writer::tell_failure(target& to, int error) {
    if (to.name.empty() || std::exchange(to.failure_told, true)) return;
    if (!is_writable(STDERR_FILENO)) return;
    const auto text = (to.records ? to.name : "the log file \"" + to.name + "\"") +
                      " cannot be written: " + std::generic_category().message(error) +
                      "; what it misses is counted, and said there later";
    // Lines for the journal are no text.
    const auto line = to.records ? text + "\n" : call_.make_line(text);
    (void)!::write(STDERR_FILENO, line.data(), line.size());
}

} // namespace muxsocks
