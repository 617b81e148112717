#include "client/link_pool.hpp"

#include "protocol/program/log.hpp"
#include "protocol/program/path_text.hpp"
#include "protocol/program/relay_settings.hpp"
#include "protocol/program/session_snapshot.hpp"
#include "protocol/program/values.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

constexpr auto tick_interval = 1s;
/// A restart takes about a second, a drain up to a minute.
constexpr auto shun_time_first = 500ms;
constexpr auto shun_time_max = 4s;

constexpr auto refusals_said_every = 60s;

instant steady_now() { return std::chrono::steady_clock::now(); }

bool has_refused(const link_supervisor& by, const pending_request& request) {
    const auto& refused_by = request.refused_by;
    return std::find(refused_by.begin(), refused_by.end(), by.driver()->core().id()) !=
           refused_by.end();
}

/// `text` is to outlive it.
refusal no_link(const std::string& text) {
    auto why = refusals::no_link;
    why.text = text;
    return why;
}

} // namespace

link_pool::link_pool(link_thread& thread, const dial_services& services,
                     std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions,
                     file_limit_check& files)
    : thread_(thread),
      services_(services),
      recipe_(std::move(recipe)),
      files_(files),
      tick_(thread.clock(), [this] { on_tick(); }) {
    make_slots(sessions);
}

link_pool::~link_pool() { close(); }

void link_pool::make_slots(std::uint32_t sessions) {
    const auto& settings = recipe_->settings;
    relay_timeouts_ = make_relay_timeouts(settings.timeouts, settings.tcp_keepalive);
    for (const auto& server : settings.servers)
        for (std::uint32_t i = 0; i < sessions; ++i)
            slots_.push_back({server, make_supervisor(server), nullptr, {}});
    std::stable_sort(slots_.begin(), slots_.end(), [](const slot& a, const slot& b) {
        return a.server.priority < b.server.priority;
    });
}

std::unique_ptr<link_supervisor> link_pool::make_supervisor(const server_entry& server) {
    return std::make_unique<link_supervisor>(thread_, services_, recipe_, server, *this);
}

void link_pool::start() {
    // Sessions that were another process's want their links, whatever becomes of the others.
    for_each_supervisor([](link_supervisor& each) {
        if (each.driver()) each.start();
    });
    wake_links();
    tick_.expires_after(tick_interval);
}

// ---- Requests

void link_pool::submit(request_ptr request) {
    if (draining_) return request->refuse(refusals::stopping);
    if (const auto chosen = choose(*request)) return request->begin(chosen->driver(), *this);
    if (refused(*request)) return give_up_refused(*request);
    if (refuses()) return request->refuse(no_link(why_no_link()));
    hurry_all();
    waiting_.push(std::move(request));
}

link_supervisor* link_pool::choose(const pending_request& request) {
    link_supervisor* best = nullptr;
    const slot* best_slot = nullptr;
    const auto lighter = [](const slot& a, const slot& b) {
        return (a.supervisor->load() + 1) * b.server.weight <
               (b.supervisor->load() + 1) * a.server.weight;
    };
    for (const auto& each : slots_) {
        if (best_slot && each.server.priority != best_slot->server.priority) break;
        if (!each.supervisor->available() || has_refused(*each.supervisor, request)) continue;
        if (best_slot && !lighter(each, *best_slot)) continue;
        best_slot = &each;
        best = each.supervisor.get();
    }
    return best ? best : choose_late(request);
}

link_supervisor* link_pool::choose_late(const pending_request& request) {
    link_supervisor* best = nullptr;
    for_each_late([&](link_supervisor& each) {
        if (!has_refused(each, request)) best = &each;
    });
    return best;
}

bool link_pool::refused(const pending_request& request) const {
    return std::any_of(slots_.begin(), slots_.end(), [&](const slot& each) {
        return each.supervisor->available() && has_refused(*each.supervisor, request);
    });
}

void link_pool::give_up_refused(pending_request& request) {
    if (steady_now() - refusal_said_ > refusals_said_every) {
        refusal_said_ = steady_now();
        log::info("a request was given up: the server takes no more streams of this client at once "
                  "(limits.streams and limits.opens_per_second there, and limits.user.streams)");
    }
    request.refuse(refusals::not_taken);
}

void link_pool::serve_waiting() {
    waiting_.serve([this](const request_ptr& request) {
        const auto chosen = choose(*request);
        if (chosen) request->begin(chosen->driver(), *this);
        return chosen != nullptr;
    });
}

void link_pool::expire_waiting() {
    if (waiting_.empty()) return;
    const auto why = why_no_link();
    waiting_.expire(steady_now(), no_link(why), [this] {
        log::info(log::kind{"requests given up for want of a link"},
                  "a request was given up: no link for {} (timeouts.wait)",
                  format_duration(recipe_->settings.timeouts.wait));
    });
}

std::string link_pool::why_no_link() const {
    const auto failing = std::find_if(slots_.begin(), slots_.end(), [](const slot& each) {
        return !each.supervisor->failure().empty();
    });
    if (failing == slots_.end()) return std::string(refusals::no_link.text);
    return fmt::format("There is no link to the server: {}.", failing->supervisor->failure());
}

bool link_pool::refuses() const {
    return std::all_of(slots_.begin(), slots_.end(),
                       [](const slot& each) { return each.supervisor->refuses(); });
}

// ---- Links

void link_pool::wake_links() {
    if (draining_) return;
    // Every link of the best priority, and of the next one only while none of the better is up.
    bool better_up = false;
    bool better_failing = true;
    const auto at = steady_now();
    for (std::size_t i = 0; i < slots_.size();) {
        const auto priority = slots_[i].server.priority;
        bool up = false;
        bool failing = true;
        for (; i < slots_.size() && slots_[i].server.priority == priority; ++i) {
            auto& each = slots_[i];
            if (!better_up && better_failing && at >= each.shunned_until) each.supervisor->start();
            up = up || each.supervisor->available();
            failing = failing && (each.supervisor->failing() || at < each.shunned_until);
        }
        better_up = better_up || up;
        better_failing = better_failing && failing;
    }
}

void link_pool::on_link_available(link_supervisor& from) {
    if (draining_) return;
    check_files(from);
    // A better server is back: the worse ones take no new streams.
    if (const auto back = slot_of(from)) {
        if (back->successor.get() == &from) retire(*back);
        for (auto& each : slots_)
            if (each.server.priority > back->server.priority && each.supervisor->driver())
                retire(each);
    }
    // Not within the supervisor's own call: a session may end in it.
    asio::post(thread_.context(), [this, alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired()) serve_waiting();
    });
}

void link_pool::check_files(const link_supervisor& up) {
    const auto& core = up.driver()->core();
    if (core.version() == 1) return; // It announces no limit.
    const auto& settings = recipe_->settings;
    const auto servers =
        std::count_if(settings.servers.begin(), settings.servers.end(),
                      [&](const auto& each) { return each.priority == up.server().priority; });
    const auto sessions = static_cast<std::uint64_t>(servers) * settings.sessions;
    if (const auto warning = files_.check(sessions * core.peer_max_streams()))
        log::warning("{}", *warning);
}

void link_pool::on_link_retiring(link_supervisor& from) {
    const auto its = slot_of(from);
    if (!its) return;
    its->shun_time =
        std::clamp<std::chrono::milliseconds>(its->shun_time * 2, shun_time_first, shun_time_max);
    its->shunned_until = steady_now() + its->shun_time;
    asio::post(thread_.context(), [this, alive = std::weak_ptr<int>(alive_), gone = &from] {
        if (alive.expired()) return;
        if (const auto still = slot_of(*gone)) retire(*still);
        wake_links();
    });
}

void link_pool::on_link_failed(link_supervisor&) {
    asio::post(thread_.context(), [this, alive = std::weak_ptr<int>(alive_)] {
        if (alive.expired()) return;
        wake_links();
        if (refuses()) return waiting_.refuse_all(no_link(why_no_link()));
        // The pause that follows is for those for whom nobody waits.
        if (!waiting_.empty()) hurry_all();
    });
}

void link_pool::hurry_all() {
    for (auto& each : slots_)
        each.supervisor->hurry();
}

link_pool::slot* link_pool::slot_of(const link_supervisor& supervisor) {
    const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const slot& each) {
        return each.supervisor.get() == &supervisor || each.successor.get() == &supervisor;
    });
    return found == slots_.end() ? nullptr : &*found;
}

void link_pool::retire(slot& from) {
    from.supervisor->retire();
    auto next = from.successor ? std::move(from.successor) : make_supervisor(from.server);
    if (from.shun_time.count() > 0) next->be_quiet();
    retiring_.push_back(std::exchange(from.supervisor, std::move(next)));
}

void link_pool::on_tick() {
    tick_.expires_after(tick_interval);
    expire_waiting();
    const auto age_max = recipe_->settings.link_max_age;
    for (auto& each : slots_) {
        each.supervisor->check();
        if (each.supervisor->available()) {
            each.shun_time = {};
            each.supervisor->say_up();
        }
        if (age_max.count() > 0 && each.supervisor->available() &&
            steady_now() - each.supervisor->since() > age_max) {
            if (!each.successor) {
                log::info("link to {} has reached its age; a new one takes over",
                          to_string(each.server.address));
                each.successor = make_supervisor(each.server);
            }
            each.successor->start();
        }
    }
    const link_supervisor* wanted = nullptr;
    if (std::none_of(slots_.begin(), slots_.end(),
                     [](const slot& each) { return each.supervisor->available(); }))
        for_each_late([&](link_supervisor& each) { wanted = &each; });
    for (auto each = retiring_.begin(); each != retiring_.end();) {
        (*each)->check();
        if ((*each)->finished() && each->get() != wanted)
            each = retiring_.erase(each);
        else
            ++each;
    }
    wake_links();
}

void link_pool::suspect_all(const char* reason, std::chrono::nanoseconds slept) {
    for (auto& each : slots_)
        each.supervisor->suspect(reason, slept);
    for (auto& each : retiring_)
        each->suspect(reason, slept);
}

void link_pool::check_routes() {
    for (auto& each : slots_)
        each.supervisor->check_route();
    for (auto& each : retiring_)
        each->check_route();
}

void link_pool::reload(std::shared_ptr<const link_recipe> recipe, std::uint32_t sessions) {
    const auto old = std::exchange(recipe_, std::move(recipe));
    const bool same_links = old->settings.same_links(recipe_->settings);
    auto before = std::exchange(slots_, {});
    make_slots(sessions);
    for (auto& each : slots_) {
        // A link whose settings are what they were goes on, with its streams.
        const auto kept = std::find_if(before.begin(), before.end(), [&](const slot& was) {
            return same_links && was.supervisor && was.server == each.server;
        });
        if (kept == before.end()) continue;
        each.supervisor = std::move(kept->supervisor);
        each.supervisor->set_recipe(recipe_);
    }
    for (const auto& each : slots_)
        each.supervisor->on_timeouts_changed();
    for (const auto& each : retiring_)
        each->on_timeouts_changed();
    for (auto& each : before) {
        if (!each.supervisor) continue;
        each.supervisor->on_timeouts_changed();
        each.supervisor->retire();
        retiring_.push_back(std::move(each.supervisor));
    }
    wake_links();
}

bool link_pool::idle() const {
    if (!waiting_.empty()) return false;
    const auto quiet = [](const link_supervisor& each) { return each.quiet(); };
    return std::all_of(slots_.begin(), slots_.end(),
                       [&](const slot& each) { return quiet(*each.supervisor); }) &&
           std::all_of(retiring_.begin(), retiring_.end(),
                       [&](const auto& each) { return quiet(*each); });
}

std::size_t link_pool::stream_count() const {
    std::size_t count = 0;
    for (const auto& each : slots_)
        count += each.supervisor->load();
    for (const auto& each : retiring_)
        count += each->load();
    return count;
}

void link_pool::close() {
    draining_ = true;
    tick_.cancel();
    const auto close_one = [](link_supervisor& each) {
        each.close(close_code::shutting_down, errc::closed_locally, "the client has stopped");
    };
    for (auto& each : slots_)
        close_one(*each.supervisor);
    for (auto& each : retiring_)
        close_one(*each);
    waiting_.refuse_all(refusals::stopping);
}

std::vector<std::string> link_pool::link_states() const {
    std::vector<std::string> lines;
    for (const auto& each : slots_) {
        const auto& driver = each.supervisor->driver();
        const bool up = driver && driver->current_link() != nullptr;
        lines.push_back(
            to_string(each.server.address) +
            (up ? ": up, " + std::to_string(driver->core().stream_count()) + " connections"
                : ": down"));
    }
    return lines;
}

void link_pool::show(const snapshot_request& request, snapshot& to) const {
    heaviest<stream_snapshot> busiest(request.streams);
    const auto add = [&](const link_supervisor& each) {
        const auto name = to_string(each.server().address);
        if (!each.driver()) {
            ++to.all.down;
            if (request.sessions == 0) return;
            auto& down = to.sessions.emplace_back();
            down.name = name;
            down.state = "down";
            down.reason = each.last_failure();
            return;
        }
        each.driver()->tell_counted();
        muxsocks::add(*each.driver(), to.all);
        to.ready = to.ready || each.available();
        if (request.streams > 0) show_streams(*each.driver(), name, busiest);
        if (request.sessions == 0) return;
        to.sessions.push_back(muxsocks::show(*each.driver(), program_role::client, name));
    };
    for (const auto& each : slots_)
        add(*each.supervisor);
    for (const auto& each : retiring_)
        add(*each);
    to.streams = busiest.take();
    to.waiting += waiting_.size();
}

} // namespace muxsocks::client
