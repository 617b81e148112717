#pragma once

/// \file
/// What both programs are around their workers: threads, listening sockets, signals, the service
/// manager, a reload of the configuration, renewed certificates, and the orderly stop. What differs
/// is said by a service::program.
///
///     running --SIGTERM or SIGINT--> draining --all idle, time over, or a second signal--> stopped
///       | ^
///       +-+ SIGHUP: reload   SIGUSR1: statistics   SIGUSR2: links anew
///
/// All but the work of the workers runs in the first thread.

#include "protocol/program/background.hpp"
#include "protocol/program/certificate_watch.hpp"
#include "protocol/program/command_line.hpp"
#include "protocol/program/listeners.hpp"
#include "protocol/program/service_manager.hpp"
#include "protocol/program/snapshot.hpp"
#include "protocol/program/status_server.hpp"

#include <boost/asio/signal_set.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace muxsocks {

class link_thread;

/// A configuration that was read with all that it names, as far as the frame is concerned.
struct program_configuration {
    std::vector<listen_address> listen;
    status_settings status;
    log_settings log;
    std::chrono::milliseconds drain{};
    std::string certificate;                ///< The file; for the warning before it expires.
    std::shared_ptr<const tls_context> tls; ///< Null: none.
    /// The files of `tls`, looked at before they were read.
    file_states seen;
    /// For the log, when it is in force.
    std::vector<std::string> warnings;
    /// Listening sockets of the process whose place is taken.
    std::vector<inherited_listener> inherited;
    /// Puts it in force in the workers. Cannot fail.
    std::function<void()> use;
};

/// From a recipe: its `settings` and its `tls`.
template <class Recipe>
program_configuration make_program_configuration(std::shared_ptr<const Recipe> recipe,
                                                 file_states seen) {
    program_configuration made;
    made.listen = recipe->settings.listen;
    made.status = recipe->settings.status;
    made.log = recipe->settings.log;
    made.drain = recipe->settings.timeouts.drain;
    made.certificate = recipe->settings.tls.cert;
    if (recipe->tls) made.tls = {recipe, &*recipe->tls};
    made.seen = std::move(seen);
    return made;
}

/// The number of threads cannot change while a program runs: says so where `loaded` is another one,
/// and sets it back.
void keep_threads(program_role role, std::uint32_t running, std::uint32_t& loaded);

std::vector<asio::io_context*> contexts_of(const std::vector<link_thread*>& threads);

class service final : private status_source {
  public:
    /// What the two programs do differently. Called in the first thread.
    class program {
      public:
        /// Reads the configuration anew, and all files that it names. Throws with a sentence.
        virtual program_configuration load() = 0;
        /// Reads the files of the configuration in force anew. Throws with a sentence.
        virtual program_configuration renew() = 0;
        /// A connection was accepted; the descriptor is the callee's.
        virtual void take(int descriptor, const listen_address& from) = 0;
        /// Asks all workers what they do, and calls `then` in the first thread.
        virtual void show(const snapshot_request& request, std::function<void(snapshot)> then) = 0;
        /// SIGUSR1: says it in the log.
        virtual void log_statistics(const snapshot& now) = 0;
        /// SIGUSR2.
        virtual void dial_anew() = 0;
        /// The service manager wants this process to end, and keeps what belongs to the next one:
        /// it gets that. give_place() or drain() follows later.
        virtual void store() = 0;
        /// Ends all sessions of the user, and passes their number on.
        virtual void kick(const std::string& user, std::function<void(std::size_t)> then) = 0;
        /// No new streams from here on.
        virtual void drain() = 0;
        /// Calls `then` if no worker has a stream left.
        virtual void if_idle(std::function<void()> then) = 0;
        /// Ends all that is left, in all threads.
        virtual void close() = 0;

      protected:
        ~program() = default;
    };

    struct words {
        std::string listening_for;  ///< "listening for ..."
        std::string drain_promises; ///< "stopping: ..., those that run have 30 s to end"
    };

    /// Binds what `first` listens on; throws std::runtime_error with a sentence. `threads` are the
    /// workers', which outlive this.
    service(program& with, program_role role, std::vector<link_thread*> threads,
            program_configuration first, words said);

    /// Serves until a signal stops it; `start` runs in each thread, with its number, first of all.
    void run(const std::function<void(std::size_t)>& start);

    [[nodiscard]] bool draining() const { return draining_; }
    /// Whether it is over: only last words are said yet.
    [[nodiscard]] bool stopped() const { return stopped_; }
    void close_listeners() { listeners_.close(); }

    // ---- Another process takes the place of this one. In the first thread.

    listeners& listening() { return listeners_; }
    service_manager& manager() { return manager_; }
    /// What the service manager has kept for this process is here now.
    void forget_stored();
    /// The new process serves, or (0) will: what is left here has a few seconds to end.
    void give_place(int new_process);
    /// No new streams; those that run have `timeouts.drain`.
    void drain();

  private:
    void show(const snapshot_request& request, std::function<void(snapshot)> then) override;
    process_facts facts() const override;
    void kick(const std::string& user, std::function<void(std::size_t)> then) override;
    void write(std::function<std::string()> make, std::function<void(std::string)> then) override;

    asio::io_context& context();
    void wait_signal();
    void on_signal(int signal);
    void check_drained();
    void stop();
    void reload();
    void use(program_configuration next);
    void renew_certificates();

    program& program_;
    program_role role_;
    std::vector<link_thread*> threads_;
    program_configuration now_;
    words words_;
    service_manager manager_;
    listeners listeners_;
    asio::basic_signal_set<executor> signals_;
    service_watchdog watchdog_;
    certificate_watch certificates_;
    status_server status_;
    background writing_;
    deadline drain_check_;
    std::chrono::steady_clock::time_point drain_until_{};
    std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
    std::chrono::system_clock::time_point loaded_ = started_;
    bool last_load_good_ = true;
    bool draining_ = false;
    bool taking_over_ = false; ///< From another process, at the start.
    bool stopped_ = false;
};

} // namespace muxsocks
