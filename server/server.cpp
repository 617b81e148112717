#include "server/server.hpp"

#include "protocol/program/config_error.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/resources.hpp"
#include "protocol/program/service.hpp"
#include "protocol/program/worker_set.hpp"
#include "server/hand_over.hpp"
#include "server/networks.hpp"
#include "server/usage_file.hpp"
#include "server/user_snapshots.hpp"
#include "server/worker.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace muxsocks::server {
namespace {

/// As load_config(), for who means to serve with it.
loaded_config load_to_serve(const command_line& line) {
    auto loaded = load_config(line);
    if (const auto fault = start_fault(loaded.settings)) throw config_error(*fault);
    return loaded;
}

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

class program final : public service::program {
  public:
    /// `before`: whose place is taken, if there is one.
    program(const command_line& line, config settings, std::uint64_t file_limit,
            std::optional<predecessor> before)
        : line_(line),
          first_look_(look_at_certificates(settings)),
          shared_(make_recipe(std::move(settings)), file_limit) {
        const auto& serving = shared_.current->settings;
        shared_.budget.on_full([this] { return free_memory(); });
        shared_.budget.on_user_full([this](user_account& user) { return free_memory_of(user); });
        for (std::uint32_t i = 0; i < serving.threads; ++i)
            workers_.add(std::make_unique<worker>(shared_), stalled_);
        auto first = make_program_configuration(shared_.current, std::move(first_look_));
        if (before) first.inherited = before->take_listeners();
        service_ = std::make_unique<service>(
            *this, program_role::server, workers_.threads(), std::move(first),
            service::words{serving.tls.enabled ? "links" : "links without TLS",
                           "clients open new streams elsewhere where they can"});
        succession_ = std::make_unique<succession>(
            program_role::server, *service_, contexts_of(workers_.threads()),
            [this] { return std::make_unique<given_sessions>(workers_, shared_, usage_.get()); });
        std::optional<usage_book::users> usage;
        if (before) {
            // Whoever has given its sessions away cannot have them back.
            check_usage(serving.accounting);
            taken_sessions all(workers_, serving.accounting.file);
            before->take(all);
            service_->forget_stored();
            usage = all.take_usage();
        }
        keep_usage(serving.accounting, std::move(usage));
    }

    void run() {
        service_->run([this](std::size_t thread) {
            if (thread == 0) succession_->offer(shared_.current->settings.listen);
        });
        succession_.reset();
        for (const auto& each : workers_)
            each->count_traffic();
        if (usage_) usage_->write_now();
    }

  private:
    static void check_usage(const accounting_settings& settings) {
        if (settings.file.empty()) return;
        try {
            check_usage_file(settings.file);
        } catch (const std::exception& error) {
            throw config_error(error.what());
        }
    }

    /// What all users have moved, from the file and into it; `known` is newer than the file.
    void keep_usage(const accounting_settings& settings, std::optional<usage_book::users> known) {
        if (settings.file.empty()) return;
        try {
            shared_.usage.restore(known ? std::move(*known) : read_usage(settings.file));
            usage_ = std::make_unique<usage_file>(settings.file, settings.every, shared_.usage);
            usage_->start();
        } catch (const std::exception& error) {
            throw config_error(error.what());
        }
        shared_.on_quota_used_up = [this] { usage_->write_soon(); };
    }

    void store() override { succession_->store(); }

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
                      worker::eviction::unless_back, [this] { freeing_ = false; });
        return true;
    }

    /// Any thread: whether a session of this user's that waits for its client is going, since the
    /// user holds more than others.
    bool free_memory_of(const user_account& user) {
        if (freeing_.exchange(true)) return true;
        const auto victim = shared_.registry.give_up_one_of(user);
        freeing_ = victim.has_value();
        if (!victim) return false;
        worker::evict(*victim,
                      "given up for sessions of its user that have a link (memory.total is "
                      "reached, and the user holds most)",
                      worker::eviction::unless_back, [this] { freeing_ = false; });
        return true;
    }

    /// From here on it counts as a link that has not authenticated.
    void take(int descriptor, const listen_address&) override {
        asio::ip::tcp::endpoint remote;
        auto size = static_cast<::socklen_t>(remote.capacity());
        // It may be gone already.
        if (::getpeername(descriptor, remote.data(), &size) != 0) {
            ::close(descriptor);
            return;
        }
        remote.resize(std::min(size, static_cast<::socklen_t>(remote.capacity())));
        // Whoever comes by a unix-domain socket is on this machine.
        auto peer = remote.data()->sa_family == AF_INET || remote.data()->sa_family == AF_INET6
                        ? remote.address()
                        : asio::ip::address(asio::ip::address_v4::loopback());
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

    void show(const snapshot_request& request, std::function<void(snapshot)> then) override {
        workers_.gather<snapshot>(
            [request](worker& each, auto answer) { each.show(request, std::move(answer)); },
            [this, request, then = std::move(then)](snapshot all) {
                all.keep(request);
                add_shared(all);
                if (request.usage) add_usage(all, *shared_.current, shared_.usage);
                then(std::move(all));
            });
    }

    void add_shared(snapshot& to) {
        const auto dials = shared_.places->connects.now();
        const auto lookups = shared_.places->names.now();
        to.dials = dials.taken;
        to.waiting = dials.waiting;
        to.lookups = lookups.taken;
        to.lookups_waiting = lookups.waiting;
        to.memory_held = shared_.budget.used();
        to.memory_limit = shared_.budget.limit();
        to.ready = !shared_.draining;
        for (auto& [name, user] : to.users) {
            const auto limits = shared_.current->limits_of(name);
            user.sessions_max = limits.sessions;
            user.streams_max = limits.streams;
            user.memory_max = limits.memory;
        }
        add_terms(to, *shared_.current, shared_.usage);
    }

    /// One line of the process behind those of all sessions.
    void log_statistics(const snapshot& now) override {
        for (const auto& each : now.sessions) {
            const auto name = log::escape(each.name);
            log::info("session of {}: {}", name, describe(each));
            for (const auto& link : each.links)
                log::info("link {} of {} takes {}", link.number, name, link.takes);
        }
        log::info("{} sessions, {} links not authenticated, {} dials under way, {} dials waiting, "
                  "{} look-ups under way, {} look-ups waiting, {} bytes held by the process",
                  now.sessions.size(), now.unauthenticated, now.dials, now.waiting, now.lookups,
                  now.lookups_waiting, now.memory_held);
    }

    void kick(const std::string& user, std::function<void(std::size_t)> then) override {
        workers_.sum_up([user](worker& each) { return each.kick(user); }, std::move(then));
    }

    /// Links are dialled by clients.
    void dial_anew() override {}

    /// The listener stays: detached sessions are resumed, new ones get GOAWAY.
    void drain() override {
        shared_.draining = true;
        // With the bare port users' traffic does not go along, and two processes cannot count it.
        if (!usage_) succession_->on_stopping(shared_.current->settings.listen);
        workers_.on_all([](worker& each) { each.drain(); });
    }

    void if_idle(std::function<void()> then) override { workers_.if_all_idle(std::move(then)); }

    void close() override {
        workers_.on_all([](worker& each) {
            each.close_all(close_code::shutting_down, errc::drain_timeout,
                           "the server has stopped");
        });
    }

    // ---- Configuration

    program_configuration load() override {
        auto loaded = load_to_serve(line_);
        const auto& old = shared_.current->settings;
        keep_threads(program_role::server, old.threads, loaded.settings.threads);
        const bool counts_otherwise = loaded.settings.accounting != old.accounting;
        loaded.settings.accounting = old.accounting;
        // A quota that nobody looks at would be taken for one that holds.
        if (const auto fault = start_fault(loaded.settings))
            throw config_error(*fault + ". Accounting begins when the server is started anew");
        if (counts_otherwise)
            log::warning("changes of \"accounting\" take effect when the server is started anew");
        if (loaded.settings.dns != old.dns || loaded.settings.limits.dials != old.limits.dials ||
            loaded.settings.limits.lookups != old.limits.lookups ||
            loaded.settings.timeouts.connect != old.timeouts.connect)
            log::warning("changes of \"dns\", \"limits.dials\", \"limits.lookups\" and "
                         "\"timeouts.connect\" take effect when the server is started anew");
        auto made = read(std::move(loaded.settings));
        made.warnings = std::move(loaded.warnings);
        made.use = [this, renewed = std::move(made.use)] {
            renewed();
            const auto& settings = shared_.current->settings;
            shared_.budget.set_limit(settings.memory.total);
            shared_.registry.set(settings.resume);
            shared_.admission_of_links->set_limits(settings.limits);
            shared_.refusals.forget();
            succession_->move_to(settings.listen);
        };
        return made;
    }

    program_configuration renew() override { return read(shared_.current->settings); }

    program_configuration read(config settings) {
        auto seen = look_at_certificates(settings);
        const auto next = make_recipe(std::move(settings));
        auto made = make_program_configuration(next, std::move(seen));
        made.use = [this, next] {
            shared_.current = next;
            workers_.on_all([next](worker& each) { each.reload(next); });
        };
        return made;
    }

    command_line line_;
    file_states first_look_;
    shared_state shared_;
    stalled_search stalled_;
    worker_set<worker> workers_;
    std::unique_ptr<usage_file> usage_; ///< Where there is accounting.
    std::unique_ptr<service> service_;
    std::atomic<bool> freeing_{false};
    std::unique_ptr<succession> succession_;
};

} // namespace

void check(const command_line& line) {
    auto loaded = load_to_serve(line);
    make_recipe(std::move(loaded.settings));
    for (const auto& warning : loaded.warnings)
        std::fprintf(stderr, "muxsocks-server: warning: %s\n", warning.c_str());
}

void run(const command_line& line, std::uint64_t file_limit) {
    auto loaded = load_to_serve(line);
    log::open(loaded.settings.log);
    for (const auto& warning : loaded.warnings)
        log::warning("{}", warning);
    if (const auto warning = file_limit_warning(file_limit, loaded.settings.limits.streams))
        log::warning("{}", *warning);
    auto before = predecessor::find(program_role::server, line, loaded.settings.listen);
    program running(line, std::move(loaded.settings), file_limit, std::move(before));
    running.run();
}

} // namespace muxsocks::server
