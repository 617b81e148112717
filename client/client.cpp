#include "client/client.hpp"

#include "client/hand_over.hpp"
#include "client/trouble_watch.hpp"
#include "client/worker.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"
#include "protocol/program/service.hpp"
#include "protocol/program/share_link.hpp"
#include "protocol/program/worker_set.hpp"

#include <algorithm>
#include <cstdio>

namespace muxsocks::client {
namespace {

file_states look_at_certificates(const config& settings) {
    if (!settings.tls.enabled) return {};
    return look_at({settings.tls.ca, settings.tls.cert, settings.tls.key});
}

/// How many of `sessions` the worker of this number holds.
std::uint32_t share_of(std::uint32_t sessions, std::uint32_t number, std::uint32_t workers) {
    return sessions / workers + (number < sessions % workers ? 1 : 0);
}

class program final : public service::program, public trouble_watch::watcher {
  public:
    /// `before`: whose place is taken, if there is one.
    program(const command_line& line, config settings, std::uint64_t file_limit,
            std::optional<predecessor> before)
        : line_(line), files_(file_limit), budget_(settings.memory.total) {
        budget_.on_full([this] { return stalled_.begin(); });
        auto seen = look_at_certificates(settings);
        recipe_ = make_recipe(std::move(settings));
        // A thread without a session would have nothing to do.
        const auto threads = std::min(recipe_->settings.threads, recipe_->settings.sessions);
        for (std::uint32_t i = 0; i < threads; ++i)
            workers_.add(std::make_unique<worker>(budget_, recipe_,
                                                  share_of(recipe_->settings.sessions, i, threads),
                                                  files_),
                         stalled_);
        auto made = make_program_configuration(recipe_, std::move(seen));
        if (before) made.inherited = before->take_listeners();
        service_ = std::make_unique<service>(
            *this, program_role::client, workers_.threads(), std::move(made),
            service::words{"applications",
                           "new connections are served until the last one has ended"});
        auto& first = workers_.first();
        trouble_ = std::make_unique<trouble_watch>(first.context(), first.clock(), *this);
        succession_ = std::make_unique<succession>(
            program_role::client, *service_, contexts_of(workers_.threads()),
            [this] { return std::make_unique<given_sessions>(workers_); });
        if (!before) return;
        taken_sessions all(workers_, recipe_->settings.tls);
        before->take(all);
        service_->forget_stored();
    }

    void run() {
        trouble_->start();
        service_->run([this](std::size_t number) {
            workers_[number].start();
            if (number == 0) succession_->offer(recipe_->settings.listen);
        });
        succession_.reset();
    }

  private:
    void store() override { succession_->store(); }

    /// Each in its turn: connections of applications differ too much for a better measure.
    void take(int descriptor, const listen_address& from) override {
        workers_[turn_++ % workers_.size()].take(descriptor, from);
    }

    void show(const snapshot_request& request, std::function<void(snapshot)> then) override {
        workers_.sum_up([request](worker& each) { return each.show(request); },
                        [this, request, then = std::move(then)](snapshot all) {
                            all.keep(request);
                            all.memory_held = budget_.used();
                            all.memory_limit = budget_.limit();
                            then(std::move(all));
                        });
    }

    void log_statistics(const snapshot& now) override {
        for (const auto& each : now.sessions) {
            const auto name = log::escape(each.name);
            if (each.state == "down") {
                log::info("link to {}: down", name);
                continue;
            }
            log::info("link to {}: {}, {}", name, each.links.empty() ? "detached" : "up",
                      describe(each));
            for (const auto& link : each.links)
                log::info("link {} to {} takes {}", link.number, name, link.takes);
        }
    }

    /// Only servers have users.
    void kick(const std::string&, std::function<void(std::size_t)> then) override { then(0); }

    void dial_anew() override { suspect_all("asked to dial anew"); }

    void on_network_changed() override {
        workers_.on_all([](worker& each) { each.check_routes(); });
    }

    void on_slept(std::chrono::nanoseconds time) override {
        suspect_all("the machine has slept", time);
    }

    void suspect_all(const char* reason, std::chrono::nanoseconds slept = {}) {
        workers_.on_all([reason, slept](worker& each) { each.suspect_all(reason, slept); });
    }

    /// New requests are served to the last moment.
    void drain() override { succession_->on_stopping(recipe_->settings.listen); }

    void if_idle(std::function<void()> then) override { workers_.if_all_idle(std::move(then)); }

    void close() override {
        trouble_->stop();
        workers_.on_all([](worker& each) { each.stop(); });
    }

    program_configuration load() override {
        auto loaded = load_config(line_);
        keep_threads(program_role::client, recipe_->settings.threads, loaded.settings.threads);
        if (loaded.settings.sessions < workers_.size())
            log::warning("\"sessions\" is below the number of threads, which cannot change while "
                         "the client runs: there are {} sessions with each server until it is "
                         "started anew",
                         workers_.size());
        auto made = read(std::move(loaded.settings));
        made.warnings = std::move(loaded.warnings);
        return made;
    }

    program_configuration renew() override { return read(recipe_->settings); }

    program_configuration read(config settings) {
        auto seen = look_at_certificates(settings);
        const auto next = make_recipe(std::move(settings));
        auto made = make_program_configuration(next, std::move(seen));
        made.use = [this, next] { use(next); };
        return made;
    }

    /// For new links and connections, from now on.
    void use(const std::shared_ptr<const link_recipe>& next) {
        recipe_ = next;
        succession_->move_to(next->settings.listen);
        budget_.set_limit(next->settings.memory.total);
        const auto threads = static_cast<std::uint32_t>(workers_.size());
        // Each thread serves applications, so each needs a session.
        const auto sessions = std::max(next->settings.sessions, threads);
        for (std::uint32_t i = 0; i < threads; ++i)
            asio::post(workers_[i].context(), [next, share = share_of(sessions, i, threads),
                                               at = &workers_[i]] { at->reload(next, share); });
    }

    command_line line_;
    file_limit_check files_;
    memory_budget budget_;
    stalled_search stalled_;
    std::shared_ptr<const link_recipe> recipe_;
    worker_set<worker> workers_;
    std::size_t turn_ = 0;
    std::unique_ptr<service> service_;
    std::unique_ptr<trouble_watch> trouble_;
    std::unique_ptr<succession> succession_;
};

} // namespace

void check(const command_line& line) {
    auto loaded = load_config(line);
    make_recipe(std::move(loaded.settings));
    for (const auto& warning : loaded.warnings)
        std::fprintf(stderr, "muxsocks-client: warning: %s\n", warning.c_str());
}

void run(const command_line& given, std::uint64_t file_limit) {
    auto line = given;
    // A reload has nothing left to read there.
    if (line.link_file == "-") line.link_text = read_link_file("-");
    auto loaded = load_config(line);
    log::open(loaded.settings.log);
    for (const auto& warning : loaded.warnings)
        log::warning("{}", warning);
    auto before = predecessor::find(program_role::client, line, loaded.settings.listen);
    program running(line, std::move(loaded.settings), file_limit, std::move(before));
    running.run();
}

} // namespace muxsocks::client
