#pragma once

/// \file
/// Puts lines of the log where they belong, in a thread of its own, so that no other thread ever
/// waits for whoever reads them: a stopped pager, a terminal on Ctrl-S, a full disk.
///
///     add(line) --> queue, bounded --> writer's thread --poll, write--> descriptor
///
/// What no longer fits is dropped and counted, what cannot be written is counted, too, and a line
/// of the log says so in that place as soon as it can be written again. Lines leave in the order in
/// which they were added, whole ones of at most PIPE_BUF together, so that those of several
/// processes do not mix in a pipe. (spdlog has such a queue, but it waits for the writer when it is
/// destroyed, and while the writer is stuck the descriptor cannot be exchanged.)
///
/// All functions may be called from any thread, but the destructor.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace muxsocks {

class log_writer {
  public:
    using clock = std::chrono::steady_clock;

    struct callbacks {
        /// The whole line, with its end, that says `message`: for what the writer itself has to
        /// say. Called in the writer's thread.
        std::function<std::string(std::string_view message)> make_line;
        /// Called in the writer's thread at the time that wake_at() has named. May call add().
        std::function<void()> on_wake;
    };

    /// Writes to standard error at first. Throws std::system_error if the thread cannot be started.
    explicit log_writer(callbacks call, std::size_t queue_bytes_max = 4U << 20U);
    /// Writes what can be written without waiting.
    ~log_writer();
    log_writer(const log_writer&) = delete;
    log_writer& operator=(const log_writer&) = delete;

    /// One line, with its end. Never waits, but for the moment in which another thread adds one.
    void add(std::string_view line);
    /// Lines that are added from now on go to this descriptor, which the writer closes when there
    /// is another one; `name` is for messages. Lines before it that cannot be written at once are
    /// given up.
    void write_to_file(int descriptor, std::string name);
    void write_to_standard_error();
    /// The same for a socket to the journal (journal::open): a record for each line. What cannot be
    /// written there is lost as it is elsewhere, but the socket is opened anew before.
    void write_to_journal(int descriptor);
    /// Calls `on_wake` then, or earlier if an earlier time was named.
    void wake_at(clock::time_point when);
    /// Waits until everything that was added is written or lost; false if that takes longer.
    bool flush(std::chrono::milliseconds limit);

  private:
    /// Where lines go; closes its descriptor.
    struct target {
        target(int descriptor, std::string name, bool records = false);
        ~target();
        target(const target&) = delete;
        target& operator=(const target&) = delete;

        int descriptor;
        std::string name;          ///< Empty: standard error.
        bool regular_file = false; ///< Writing to it needs no poll().
        bool records = false;      ///< It is the journal's.
        bool cut = false;          ///< Whether an error has cut a line off.
        bool failure_told = false; ///< Whether standard error was told of an error.
    };
    /// Lines with the same target.
    struct batch {
        std::shared_ptr<target> to;
        std::string text;
        std::uint64_t lines = 0;
        std::uint64_t dropped = 0; ///< Behind the last one of `text`.
    };
    /// What is missing in the log and has not been said yet.
    struct missing {
        std::uint64_t lines = 0;
        int error = 0; ///< errno; 0 if they were dropped.
    };

    void run();
    void write_to(std::shared_ptr<target> next);
    void write(const batch& now);
    bool report_missing(target& to);
    std::string_view write_piece(target& to, std::string_view piece);
    std::string_view put(target& to, std::string_view rest);
    std::string_view put_records(target& to, std::string_view rest);
    bool wait_writable(const target& to);
    void tell_failure(target& to, int error);

    const callbacks call_;
    const std::size_t queue_bytes_max_;
    const int event_; ///< eventfd: there is another target, or the end.

    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable progress_;
    std::deque<batch> batches_;    ///< The last one has the target in force; never empty.
    std::size_t queued_bytes_ = 0; ///< What is being written included.
    std::uint64_t added_ = 0;
    std::uint64_t done_ = 0;
    std::optional<clock::time_point> wake_time_;
    bool waiting_ = false;
    bool ending_ = false;

    missing missing_;    ///< The writer's thread alone.
    std::thread thread_; ///< Last: it uses all of the above.
};

} // namespace muxsocks
