#include "client/client.hpp"

#include "client/trouble_watch.hpp"
#include "client/worker.hpp"
#include "protocol/link/stalled_search.hpp"
#include "protocol/program/certificate_watch.hpp"
#include "protocol/program/config_error.hpp"
#include "protocol/program/listeners.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"
#include "protocol/program/service_manager.hpp"
#include "protocol/program/share_link.hpp"

#include <boost/asio/signal_set.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <thread>

namespace muxsocks::client {
namespace {

file_states look_at_certificates(const config& settings) {
    if (!settings.tls.enabled) return {};
    return look_at({settings.tls.ca, settings.tls.cert, settings.tls.key});
}

/// How many of `links` the worker of this number holds.
std::uint32_t share_of(std::uint32_t links, std::uint32_t number, std::uint32_t workers) {
    return links / workers + (number < links % workers ? 1 : 0);
}

/// What is left to do when streams had their time to end.
constexpr std::chrono::seconds stop_margin{5};

class program final : public trouble_watch::watcher {
  public:
    program(const command_line& line, config settings, std::uint64_t file_limit)
        : line_(line),
          files_(file_limit),
          first_look_(look_at_certificates(settings)),
          recipe_(make_recipe(std::move(settings))),
          budget_(recipe_->settings.memory.total) {
        // A thread without a link would have nothing to do.
        const auto threads = std::min(recipe_->settings.threads, recipe_->settings.links);
        budget_.on_full([this] { return stalled_.begin(); });
        for (std::uint32_t i = 0; i < threads; ++i) {
            workers_.push_back(std::make_unique<worker>(
                budget_, recipe_, share_of(recipe_->settings.links, i, threads), files_));
            stalled_.enlist(workers_.back()->thread());
        }
        listeners_.emplace(workers_.front()->context(), workers_.front()->clock(), "SOCKS5",
                           [this](int descriptor) { next_worker().take(descriptor); });
        listeners_->open(recipe_->settings.listen);
        signals_.emplace(workers_.front()->context().get_executor());
        for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2})
            signals_->add(signal);
        auto& first = *workers_.front();
        trouble_ = std::make_unique<trouble_watch>(first.context(), first.clock(), *this);
        std::vector<asio::io_context*> contexts;
        for (const auto& each : workers_)
            contexts.push_back(&each->context());
        watchdog_ =
            std::make_unique<service_watchdog>(manager_, first.clock(), std::move(contexts));
        certificates_ =
            std::make_unique<certificate_watch>(first.clock(), [this] { renew_certificates(); });
    }

    int run() {
        wait_signal();
        trouble_->start();
        watch_certificates(std::move(first_look_));
        watchdog_->start();
        // What connects from here on waits in the listeners.
        manager_.ready("serving");
        asio::post(workers_.front()->context(), [this] { listeners_->accept(); });
        std::vector<std::thread> threads;
        for (std::size_t i = 1; i < workers_.size(); ++i)
            threads.emplace_back([this, i] { run_worker(*workers_[i]); });
        run_worker(*workers_.front());
        for (auto& each : threads)
            each.join();
        return exit_ok;
    }

  private:
    static void run_worker(worker& one) {
        asio::post(one.context(), [&one] { one.start(); });
        const auto work = asio::make_work_guard(one.context());
        one.context().run();
    }

    /// Each in its turn: connections of applications differ too much for a better measure.
    worker& next_worker() { return *workers_[turn_++ % workers_.size()]; }

    template <typename Function>
    void on_all(Function function) {
        for (const auto& each : workers_)
            asio::post(each->context(), [function, at = each.get()] { function(*at); });
    }

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
            return on_all([](worker& each) { each.log_statistics(); });
        case SIGUSR2:
            return suspect_all("asked to dial anew");
        default:
            return stopping_ ? stop() : drain();
        }
    }

    void on_network_changed() override {
        on_all([](worker& each) { each.check_routes(); });
    }

    void on_slept(std::chrono::nanoseconds time) override {
        suspect_all("the machine has slept", time);
    }

    void suspect_all(const char* reason, std::chrono::nanoseconds slept = {}) {
        on_all([reason, slept](worker& each) { each.suspect_all(reason, slept); });
    }

    void drain() {
        stopping_ = true;
        trouble_->stop();
        listeners_->close();
        log::info("stopping: no new connections; those that run have {} s to end (a second signal "
                  "stops now)",
                  recipe_->settings.timeouts.drain.count() / 1000);
        manager_.stopping(recipe_->settings.timeouts.drain + stop_margin);
        left_ = workers_.size();
        on_all([this](worker& each) {
            each.drain([this] {
                if (--left_ == 0) asio::post(workers_.front()->context(), [this] { stop(); });
            });
        });
    }

    void stop() {
        listeners_->close();
        on_all([](worker& each) {
            each.stop();
            // What the links still have to say goes out first.
            auto last = std::make_shared<steady_timer>(each.context().get_executor(),
                                                       std::chrono::milliseconds(100));
            last->async_wait([last, &each](const auto&) { each.context().stop(); });
        });
    }

    void reload() {
        if (stopping_) return;
        manager_.reloading();
        try {
            auto loaded = load_config(line_);
            if (loaded.settings.threads != recipe_->settings.threads) {
                log::warning("\"threads\" cannot change while the client runs; it stays {}",
                             recipe_->settings.threads);
                loaded.settings.threads = recipe_->settings.threads;
            }
            if (loaded.settings.links < workers_.size())
                log::warning("\"links\" is below the number of threads, which cannot change while "
                             "the client runs: there are {} links to each server until it is "
                             "started anew",
                             workers_.size());
            auto seen = look_at_certificates(loaded.settings);
            const auto next = make_recipe(std::move(loaded.settings));
            log::open(next->settings.log);
            log::reopen();
            for (const auto& warning : loaded.warnings)
                log::warning("{}", warning);
            budget_.set_limit(next->settings.memory.total);
            use(next, std::move(seen));
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

    /// For new links and connections, from now on.
    void use(const std::shared_ptr<const link_recipe>& next, file_states seen) {
        recipe_ = next;
        watch_certificates(std::move(seen));
        const auto threads = static_cast<std::uint32_t>(workers_.size());
        // Each thread serves applications, so each needs a link.
        const auto links = std::max(next->settings.links, threads);
        for (std::uint32_t i = 0; i < threads; ++i)
            asio::post(workers_[i]->context(),
                       [next, share = share_of(links, i, threads), at = workers_[i].get()] {
                           at->reload(next, share);
                       });
    }

    // ---- Certificates

    void watch_certificates(file_states seen) {
        const auto& now = *recipe_;
        certificates_->watch(std::move(seen), now.settings.tls.cert, now.tls ? &*now.tls : nullptr);
    }

    /// The files have changed: the next links use what is in them now, the rest stays as it is.
    void renew_certificates() {
        auto seen = look_at_certificates(recipe_->settings);
        try {
            const auto next = make_recipe(recipe_->settings);
            log::info("certificates read anew: {}", describe_renewal(*recipe_->tls, *next->tls));
            use(next, std::move(seen));
        } catch (const std::exception& error) {
            log::error("the files of \"tls\" have changed and cannot be used, so what was read "
                       "from them before stays in force: {}",
                       error.what());
        }
    }

    command_line line_;
    file_limit_check files_;
    service_manager manager_;
    file_states first_look_;
    std::shared_ptr<const link_recipe> recipe_;
    memory_budget budget_;
    stalled_search stalled_;
    std::vector<std::unique_ptr<worker>> workers_;
    std::optional<listeners> listeners_;
    std::size_t turn_ = 0;
    std::optional<asio::basic_signal_set<executor>> signals_;
    std::unique_ptr<trouble_watch> trouble_;
    std::unique_ptr<service_watchdog> watchdog_;
    std::unique_ptr<certificate_watch> certificates_;
    std::atomic<std::size_t> left_{0};
    bool stopping_ = false;
};

} // namespace

void check(const command_line& line) {
    auto loaded = load_config(line);
    make_recipe(std::move(loaded.settings));
    for (const auto& warning : loaded.warnings)
        std::fprintf(stderr, "muxsocks-client: warning: %s\n", warning.c_str());
}

int run(const command_line& given, std::uint64_t file_limit) {
    auto line = given;
    // A reload has nothing left to read there.
    if (line.link_file == "-") line.link_text = read_link_file("-");
    auto loaded = load_config(line);
    log::open(loaded.settings.log);
    for (const auto& warning : loaded.warnings)
        log::warning("{}", warning);
    program running(line, std::move(loaded.settings), file_limit);
    return running.run();
}

} // namespace muxsocks::client
