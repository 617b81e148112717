#include "protocol/program/service.hpp"

#include "protocol/link/link_thread.hpp"
#include "protocol/program/local_sockets.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <csignal>
#include <exception>
#include <thread>
#include <utility>

namespace muxsocks {
namespace {

using namespace std::chrono_literals;

/// What is left to do when streams had their time to end.
constexpr auto stop_margin = 5s;

constexpr auto drain_check_interval = 20ms;

/// For what could not be handed over.
constexpr auto time_behind_a_hand_over = 3s;

/// In which links say what they still have to say.
constexpr auto last_words = 100ms;

void run_thread(link_thread& one) {
    const auto work = asio::make_work_guard(one.context());
    one.context().run();
}

} // namespace

std::vector<asio::io_context*> contexts_of(const std::vector<link_thread*>& threads) {
    std::vector<asio::io_context*> found;
    for (const auto each : threads)
        found.push_back(&each->context());
    return found;
}

void keep_threads(program_role role, std::uint32_t running, std::uint32_t& loaded) {
    if (loaded == running) return;
    log::warning("\"threads\" cannot change while the {} runs; it stays {}",
                 role == program_role::client ? "client" : "server", running);
    loaded = running;
}

service::service(program& with, program_role role, std::vector<link_thread*> threads,
                 program_configuration first, words said)
    : program_(with),
      role_(role),
      threads_(std::move(threads)),
      now_(std::move(first)),
      words_(std::move(said)),
      listeners_(
          context(), threads_.front()->clock(), words_.listening_for,
          [this](int descriptor, const listen_address& from) { program_.take(descriptor, from); }),
      signals_(context().get_executor()),
      watchdog_(manager_, threads_.front()->clock(), contexts_of(threads_)),
      certificates_(threads_.front()->clock(), [this] { renew_certificates(); }),
      status_(context(), threads_.front()->clock(), *this),
      drain_check_(threads_.front()->clock(), [this] { check_drained(); }) {
    taking_over_ = !now_.inherited.empty();
    listeners_.open(now_.listen, std::exchange(now_.inherited, {}));
    if (!taking_over_) status_.open(now_.status);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2})
        signals_.add(signal);
}

asio::io_context& service::context() { return threads_.front()->context(); }

void service::run(const std::function<void(std::size_t)>& start) {
    wait_signal();
    certificates_.watch(std::exchange(now_.seen, {}), now_.certificate, now_.tls.get());
    watchdog_.start();
    // The old process keeps its own until it knows that this one goes on.
    if (taking_over_) status_.open_when_free(now_.status);
    // What connects from here on waits in the listeners.
    manager_.ready("serving");
    asio::post(context(), [this] { listeners_.accept(); });
    for (std::size_t i = 0; i < threads_.size(); ++i)
        asio::post(threads_[i]->context(), [&start, i] { start(i); });
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < threads_.size(); ++i)
        others.emplace_back([this, i] { run_thread(*threads_[i]); });
    run_thread(*threads_.front());
    for (auto& each : others)
        each.join();
}

// ---- Signals

void service::wait_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
        if (error) return;
        on_signal(signal);
        wait_signal();
    });
}

void service::on_signal(int signal) {
    switch (signal) {
    case SIGHUP:
        return reload();
    case SIGUSR1:
        return program_.show({}, [this](const snapshot& now) { program_.log_statistics(now); });
    case SIGUSR2:
        return program_.dial_anew();
    default:
        if (draining_) return stop();
        if (signal == SIGTERM && manager_.keeps_descriptors()) return program_.store();
        return drain();
    }
}

// ---- Another process takes over

void service::give_place(int new_process) {
    if (new_process > 0) manager_.main_process(new_process);
    listeners_.let_go();
    status_.close();
    if (std::exchange(draining_, true)) return;
    program_.drain();
    drain_until_ = std::chrono::steady_clock::now() +
                   std::min<decltype(now_.drain)>(now_.drain, time_behind_a_hand_over);
    drain_check_.expires_after(drain_check_interval);
}

void service::forget_stored() {
    if (!manager_.keeps_descriptors()) return;
    for (const auto name : {stored_state_name, stored_socket_name})
        manager_.forget_stored(name);
}

// ---- The status

void service::show(const snapshot_request& request, std::function<void(snapshot)> then) {
    program_.show(request, std::move(then));
}

process_facts service::facts() const {
    std::vector<std::string> listen;
    for (const auto& each : now_.listen)
        listen.push_back(to_string(each));
    return {role_,
            started_,
            loaded_,
            last_load_good_,
            now_.certificate,
            now_.tls ? now_.tls->certificate_not_after() : std::nullopt,
            std::move(listen)};
}

void service::kick(const std::string& user, std::function<void(std::size_t)> then) {
    log::info("the sessions of {} are ended, as it was asked for", log::escape(user));
    program_.kick(user, std::move(then));
}

void service::write(std::function<std::string()> make, std::function<void(std::string)> then) {
    // `then` is given back whatever becomes of it: what it holds is this thread's.
    auto back = std::make_shared<std::function<void(std::string)>>(std::move(then));
    writing_.run([this, make = std::move(make), back = std::move(back)]() mutable {
        auto text = make();
        make = nullptr;
        asio::post(context(), [back = std::move(back), text = std::move(text)]() mutable {
            (*back)(std::move(text));
        });
    });
}

// ---- The stop

void service::drain() {
    draining_ = true;
    log::info("stopping: {}; those that run have {} s to end (a second signal stops now)",
              words_.drain_promises, now_.drain.count() / 1000);
    manager_.stopping(now_.drain + stop_margin);
    program_.drain();
    drain_until_ = std::chrono::steady_clock::now() + now_.drain;
    drain_check_.expires_after(drain_check_interval);
}

void service::check_drained() {
    if (std::chrono::steady_clock::now() >= drain_until_) return stop();
    drain_check_.expires_after(drain_check_interval);
    program_.if_idle([this] { stop(); });
}

void service::stop() {
    if (std::exchange(stopped_, true)) return;
    drain_check_.cancel();
    listeners_.close();
    status_.close();
    program_.close();
    for (const auto each : threads_)
        asio::post(each->context(), [each] {
            auto last = std::make_shared<steady_timer>(each->context().get_executor(), last_words);
            last->async_wait([last, each](const auto&) { each->context().stop(); });
        });
}

// ---- Configuration and certificates

void service::reload() {
    if (draining_) return;
    manager_.reloading();
    try {
        auto next = program_.load();
        log::open(next.log);
        log::reopen();
        for (const auto& warning : next.warnings)
            log::warning("{}", warning);
        use(std::move(next));
        listeners_.move_to(now_.listen);
        status_.move_to(now_.status);
        loaded_ = std::chrono::system_clock::now();
        last_load_good_ = true;
        log::info("configuration reloaded");
        manager_.ready("serving");
    } catch (const std::exception& error) {
        const auto refusal =
            std::string("reload refused, the old configuration stays: ") + error.what();
        last_load_good_ = false;
        log::error("{}", refusal);
        manager_.ready(refusal);
    }
}

/// For new links, connections and streams, from now on.
void service::use(program_configuration next) {
    now_ = std::move(next);
    now_.use();
    certificates_.watch(std::exchange(now_.seen, {}), now_.certificate, now_.tls.get());
}

/// The files have changed: new links use what is in them now, the rest stays as it is.
void service::renew_certificates() {
    try {
        auto next = program_.renew();
        log::info("certificates read anew: {}", describe_renewal(*now_.tls, *next.tls));
        use(std::move(next));
    } catch (const std::exception& error) {
        log::error("the files of \"tls\" have changed and cannot be used, so what was read "
                   "from them before stays in force: {}",
                   error.what());
    }
}

} // namespace muxsocks
