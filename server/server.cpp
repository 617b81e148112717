#include "server/server.hpp"

#include "protocol/link/stalled_search.hpp"
#include "protocol/program/certificate_watch.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/listeners.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"
#include "protocol/program/service_manager.hpp"
#include "server/networks.hpp"
#include "server/worker.hpp"

#include <boost/asio/signal_set.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <thread>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<const recipe> make_recipe(config settings) {
    try {
        const auto made = std::make_shared<const recipe>(std::move(settings));
        for (const auto& warning : made->warnings)
            log::warning("{}", warning);
        return made;
    } catch (const std::exception& error) {
        throw config_error(error.what());
    }
}

file_states look_at_certificates(const config& settings) {
    if (!settings.tls.enabled) return {};
    return look_at({settings.tls.cert, settings.tls.key, settings.tls.client_ca});
}

/// What is left to do when streams had their time to end.
constexpr auto stop_margin = 5s;

class program {
  public:
    program(const command_line& line, config settings)
        : line_(line),
          first_look_(look_at_certificates(settings)),
          shared_(make_recipe(std::move(settings)), 0) {
        const auto& serving = shared_.current->settings;
        shared_.budget.set_limit(serving.memory.total);
        shared_.budget.on_full([this] { return free_memory(); });
        for (std::uint32_t i = 0; i < serving.threads; ++i) {
            workers_.push_back(std::make_unique<worker>(shared_));
            stalled_.enlist(workers_.back()->thread());
        }
        auto& clock = workers_.front()->thread().clock();
        listeners_.emplace(main_context(), clock,
                           serving.tls.enabled ? "links" : "links without TLS",
                           [this](int descriptor) { take(descriptor); });
        listeners_->open(serving.listen);
        signals_.emplace(main_context().get_executor());
        for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2})
            signals_->add(signal);
        std::vector<asio::io_context*> threads;
        for (const auto& each : workers_)
            threads.push_back(&each->context());
        watchdog_ = std::make_unique<service_watchdog>(manager_, clock, std::move(threads));
        certificates_ =
            std::make_unique<certificate_watch>(clock, [this] { renew_certificates(); });
    }

    int run() {
        wait_signal();
        listeners_->accept();
        watch_certificates(std::move(first_look_));
        watchdog_->start();
        manager_.ready("serving");
        std::vector<std::thread> threads;
        for (std::size_t i = 1; i < workers_.size(); ++i)
            threads.emplace_back([this, i] { run_worker(*workers_[i]); });
        run_worker(*workers_.front());
        for (auto& each : threads)
            each.join();
        return exit_ok;
    }

  private:
    asio::io_context& main_context() { return workers_.front()->context(); }

    static void run_worker(worker& one) {
        const auto work = asio::make_work_guard(one.context());
        one.context().run();
    }

    /// Any thread: whether a session that waits for its client is going, to make room for those
    /// that have theirs, or else a stream that nobody reads. One at a time, since each may be
    /// enough.
    bool free_memory() {
        if (stalled_.under_way() || freeing_.exchange(true)) return true;
        const auto victim = shared_.registry.give_up_one();
        if (!victim) {
            freeing_ = false;
            return stalled_.begin();
        }
        worker::evict(*victim, "given up for sessions that have a link (memory.total is reached)",
                      [this] { freeing_ = false; });
        return true;
    }

    template <typename Function>
    void on_all(Function function) {
        for (const auto& each : workers_)
            asio::post(each->context(), [function, at = each.get()] { function(*at); });
    }

    /// From here on it counts as a link that has not authenticated.
    void take(int descriptor) {
        asio::ip::tcp::endpoint remote;
        auto size = static_cast<::socklen_t>(remote.capacity());
        // It may be gone already.
        if (::getpeername(descriptor, remote.data(), &size) != 0) {
            ::close(descriptor);
            return;
        }
        remote.resize(size);
        auto peer = remote.address();
        if (peer.is_v6() && peer.to_v6().is_v4_mapped())
            peer = asio::ip::make_address_v4(asio::ip::v4_mapped, peer.to_v6());
        auto& server = least_loaded();
        const bool balancer = in_networks(shared_.current->settings.proxy_protocol.from, peer);
        auto ticket = shared_.admission_of_links->enter(peer, balancer, server);
        if (ticket) return server.take(descriptor, std::move(ticket), std::move(peer));
        ::close(descriptor);
        log::warning(log::kind{"links that were closed at once"},
                     "a link from {} was closed at once: all places for links that have not "
                     "authenticated are taken (limits.unauthenticated, "
                     "limits.unauthenticated_per_address)",
                     peer.to_string());
    }

    worker& least_loaded() {
        return **std::min_element(
            workers_.begin(), workers_.end(),
            [](const auto& a, const auto& b) { return a->load() < b->load(); });
    }

    // ---- Signals

    void wait_signal() {
        signals_->async_wait([this](const boost::system::error_code& error, int signal) {
            if (error) return;
            on_signal(signal);
            wait_signal();
        });
    }

    void on_signal(int signal) {
        switch (signal) {
        case SIGHUP:
            return reload();
        case SIGUSR1:
            return log_statistics();
        case SIGUSR2:
            return; // Links are dialled by clients.
        default:
            return stopping_ ? stop() : drain();
        }
    }

    /// One line of the process behind those of all sessions.
    void log_statistics() {
        struct sum {
            process_statistics all;
            std::size_t left;
        };
        auto total = std::make_shared<sum>(sum{{}, workers_.size()});
        on_all([this, total](worker& each) {
            const auto part = each.log_statistics();
            asio::post(main_context(), [this, total, part] {
                total->all.sessions += part.sessions;
                total->all.incoming += part.incoming;
                if (--total->left > 0) return;
                const auto dials = shared_.places->connects.now();
                const auto lookups = shared_.places->names.now();
                log::info(
                    "{} sessions, {} links not authenticated, {} dials under way, {} dials "
                    "waiting, {} look-ups under way, {} look-ups waiting, {} bytes held by the "
                    "process",
                    total->all.sessions, total->all.incoming, dials.taken, dials.waiting,
                    lookups.taken, lookups.waiting, shared_.budget.used());
            });
        });
    }

    void drain() {
        stopping_ = true;
        const auto time = shared_.current->settings.timeouts.drain;
        log::info("stopping: no new streams; those that run have {} s to end (a second signal "
                  "stops now)",
                  time.count() / 1000);
        manager_.stopping(time + stop_margin);
        // The listener stays: detached sessions are resumed, new ones get GOAWAY.
        shared_.draining = true;
        on_all([](worker& each) { each.drain(); });
        drain_until_ = std::chrono::steady_clock::now() + time;
        drain_check_ = std::make_unique<deadline>(workers_.front()->thread().clock(),
                                                  [this] { check_drained(); });
        drain_check_->expires_after(50ms);
    }

    void check_drained() {
        if (std::chrono::steady_clock::now() >= drain_until_) return stop();
        drain_check_->expires_after(50ms);
        auto idle = std::make_shared<std::atomic<std::size_t>>(0);
        on_all([this, idle](worker& each) {
            if (each.idle() && ++*idle == workers_.size())
                asio::post(main_context(), [this] { stop(); });
        });
    }

    void stop() {
        if (stopped_) return;
        stopped_ = true;
        if (drain_check_) drain_check_->cancel();
        listeners_->close();
        on_all([](worker& each) {
            each.close_all(close_code::shutting_down, errc::drain_timeout,
                           "the server has stopped");
            // What the links still have to say goes out first.
            auto last = std::make_shared<steady_timer>(each.context().get_executor(), 100ms);
            last->async_wait([last, &each](const auto&) { each.context().stop(); });
        });
    }

    void reload() {
        if (stopping_) return;
        manager_.reloading();
        try {
            auto loaded = load_config(line_);
            const auto& old = shared_.current->settings;
            if (loaded.settings.threads != old.threads) {
                log::warning("\"threads\" cannot change while the server runs; it stays {}",
                             old.threads);
                loaded.settings.threads = old.threads;
            }
            if (loaded.settings.dns != old.dns ||
                loaded.settings.limits.dials != old.limits.dials ||
                loaded.settings.limits.lookups != old.limits.lookups ||
                loaded.settings.timeouts.connect != old.timeouts.connect)
                log::warning("changes of \"dns\", \"limits.dials\", \"limits.lookups\" and "
                             "\"timeouts.connect\" take effect when the server is started anew");
            auto seen = look_at_certificates(loaded.settings);
            const auto next = make_recipe(std::move(loaded.settings));
            log::open(next->settings.log);
            log::reopen();
            for (const auto& warning : loaded.warnings)
                log::warning("{}", warning);
            use(next, std::move(seen));
            shared_.budget.set_limit(next->settings.memory.total);
            shared_.registry.set(next->settings.resume);
            shared_.admission_of_links->set_limits(next->settings.limits);
            shared_.refusals.forget();
            listeners_->move_to(next->settings.listen);
            log::info("configuration reloaded");
            manager_.ready("serving");
        } catch (const std::exception& error) {
            const auto refusal =
                std::string("reload refused, the old configuration stays: ") + error.what();
            log::error("{}", refusal);
            manager_.ready(refusal);
        }
    }

    /// For new links and streams, from now on.
    void use(const std::shared_ptr<const recipe>& next, file_states seen) {
        shared_.current = next;
        watch_certificates(std::move(seen));
        on_all([next](worker& each) { each.reload(next); });
    }

    // ---- Certificates

    void watch_certificates(file_states seen) {
        const auto& now = *shared_.current;
        certificates_->watch(std::move(seen), now.settings.tls.cert, now.tls ? &*now.tls : nullptr);
    }

    /// The files have changed: new links get what is in them now, the rest stays as it is.
    void renew_certificates() {
        const auto& old = *shared_.current;
        auto seen = look_at_certificates(old.settings);
        try {
            const auto next = make_recipe(old.settings);
            log::info("certificates read anew: {}", describe_renewal(*old.tls, *next->tls));
            use(next, std::move(seen));
        } catch (const std::exception& error) {
            log::error("the files of \"tls\" have changed and cannot be used, so what was read "
                       "from them before stays in force: {}",
                       error.what());
        }
    }

    command_line line_;
    service_manager manager_;
    file_states first_look_;
    shared_state shared_;
    stalled_search stalled_;
    std::vector<std::unique_ptr<worker>> workers_;
    std::optional<listeners> listeners_;
    std::optional<asio::basic_signal_set<executor>> signals_;
    std::unique_ptr<service_watchdog> watchdog_;
    std::unique_ptr<certificate_watch> certificates_;
    std::unique_ptr<deadline> drain_check_;
    std::chrono::steady_clock::time_point drain_until_{};
    std::atomic<bool> freeing_{false};
    bool stopping_ = false;
    bool stopped_ = false;
};

} // namespace

void check(const command_line& line) {
    auto loaded = load_config(line);
    make_recipe(std::move(loaded.settings));
    for (const auto& warning : loaded.warnings)
        std::fprintf(stderr, "muxsocks-server: warning: %s\n", warning.c_str());
}

int run(const command_line& line, std::uint64_t file_limit) {
    auto loaded = load_config(line);
    log::open(loaded.settings.log);
    for (const auto& warning : loaded.warnings)
        log::warning("{}", warning);
    if (const auto warning = file_limit_warning(file_limit, loaded.settings.limits.streams))
        log::warning("{}", *warning);
    program running(line, std::move(loaded.settings));
    return running.run();
}

} // namespace muxsocks::server
