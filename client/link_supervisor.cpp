#include "client/link_supervisor.hpp"

#include "client/network.hpp"
#include "protocol/link/crypto.hpp"
#include "protocol/link/link_error.hpp"
#include "protocol/link/resolve_error.hpp"
#include "protocol/link/session_crypto.hpp"
#include "protocol/program/log.hpp"

#include <algorithm>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

constexpr auto back_off_first = 250ms;
constexpr auto back_off_max = 30'000ms;
constexpr auto hurried = 2'000ms;
constexpr auto doubt_after = 5s;

std::string why_not_connected(std::error_code error) {
    auto text = "cannot connect: " + error.message();
    // The client asks the system's name servers; it has no key for others.
    if (error == resolve_errc::server_failure || error == resolve_errc::timed_out)
        text += "; check the name servers in /etc/resolv.conf";
    return text;
}

} // namespace

link_supervisor::link_supervisor(link_thread& thread, const dial_services& services,
                                 std::shared_ptr<const link_recipe> recipe,
                                 const server_entry& server, watcher& to)
    : thread_(thread),
      services_(services),
      recipe_(std::move(recipe)),
      server_(server),
      watcher_(to),
      name_(to_string(server.address)),
      pause_(thread.clock(), [this] { dial(); }),
      step_limit_(thread.clock(), [this] { on_step_limit(); }) {}

link_supervisor::~link_supervisor() {
    abandon_dial();
    if (!driver_) return;
    const auto driver = std::exchange(driver_, nullptr);
    driver->forget_delegate();
    driver->close(close_code::normal, errc::closed_locally, "the link is no longer needed");
}

// ---- Dialling

void link_supervisor::start() {
    const bool busy = driver_ && (driver_->current_link() || driver_->joining());
    if (!dialing_ && !connecting_ && !pause_.is_set() && !busy) dial();
}

void link_supervisor::dial() {
    if (dialing_ || connecting_ || (driver_ && driver_->joining()) || finished()) return;
    pause_.cancel();
    if (route_.empty()) route_ = describe_present_route();
    const auto& settings = recipe_->settings;
    connect_options options;
    options.timeout = settings.timeouts.connect;
    link_options sockets;
    sockets.congestion = settings.link.congestion;
    sockets.user_timeout = settings.keepalive.interval + settings.keepalive.timeout + 10s;
    options.before_connect = [sockets, recipe = recipe_](int descriptor) {
        set_link_options(descriptor, sockets);
        if (recipe->before_connect) recipe->before_connect(descriptor);
    };
    dialing_ =
        connect_to_host(services_, server_.address.host, server_.address.port, std::move(options),
                        [this](std::error_code error, tcp_socket socket) {
                            dialing_.reset();
                            on_connected(error, std::move(socket));
                        });
}

void link_supervisor::on_connected(std::error_code error, tcp_socket socket) {
    if (error) return on_dial_failed(why_not_connected(error));
    boost::system::error_code gone;
    peer_ = socket.remote_endpoint(gone).address();
    route_ = describe_present_route();
    std::optional<tls_engine> engine;
    if (recipe_->tls) {
        auto name = server_.server_name;
        if (name.empty()) name = recipe_->settings.tls.server_name;
        if (name.empty()) name = server_.address.host;
        engine.emplace(*recipe_->tls, name);
    }
    connecting_ = new link(thread_, std::move(socket), std::move(engine));
    step_limit_.expires_after(recipe_->settings.timeouts.handshake);
    const auto started = connecting_;
    started->start(*this);
}

void link_supervisor::on_link_up(link& from) {
    step_limit_.cancel();
    const link_ptr up(&from);
    if (connecting_ != up) return;
    connecting_.reset();
    if (driver_ && driver_->core().resumable()) {
        step_limit_.expires_after(recipe_->settings.timeouts.handshake);
        driver_->join_on(up);
    } else {
        begin_session(up);
    }
}

void link_supervisor::on_step_limit() {
    if (connecting_) {
        std::exchange(connecting_, nullptr)->abort();
        on_dial_failed(make_error_code(link_errc::tls_handshake_timeout).message());
    } else if (driver_ && driver_->joining()) {
        driver_->stop_joining();
        on_dial_failed("the server did not answer JOIN in time");
    }
}

void link_supervisor::on_link_down(link& from, std::error_code, const std::string& text) {
    if (connecting_.get() != &from) return;
    step_limit_.cancel();
    connecting_.reset();
    on_dial_failed(text);
}

void link_supervisor::begin_session(link_ptr on, bool behind_join) {
    const bool alpn = on->engine() && !on->engine()->alpn().empty();
    const bool may_be_v1 = recipe_->settings.allow_v1 && !alpn && !spoke_v2_;
    driver_ = new session_driver(
        thread_, make_session_settings(recipe_->settings, thread_, may_be_v1, behind_join),
        *this);
    driver_->start(std::move(on));
}

void link_supervisor::on_dial_failed(const std::string& text) {
    ++failures_;
    // The first failure is news; of those that follow only each tenth.
    if (failures_ == 1 || failures_ % 10 == 0)
        log::warning("link to {} failed: {}{}", name_, text,
                     failures_ > 1 ? fmt::format(" (attempt {})", failures_) : std::string());
    else
        log::debug("link to {} failed: {}", name_, text);
    schedule_dial();
    watcher_.on_link_failed(*this);
}

void link_supervisor::schedule_dial() {
    if (pause_.is_set() || dialing_ || connecting_ || finished()) return;
    // A second link that failed beside one that lives was worth one try.
    const bool alive =
        driver_ && driver_->current_link() &&
        std::chrono::steady_clock::now() - driver_->core().last_heard() < doubt_after;
    if (alive) return;
    std::uniform_int_distribution<std::int64_t> jitter(0, back_off_.count());
    pause_.expires_after(std::chrono::milliseconds(jitter(random_)));
    back_off_ = std::min<std::chrono::milliseconds>(back_off_ * 2, back_off_max);
}

void link_supervisor::hurry() {
    if (!pause_.is_set() || pause_.expiry() <= std::chrono::steady_clock::now() + hurried) return;
    std::uniform_int_distribution<std::int64_t> jitter(0, hurried.count());
    pause_.expires_after(std::chrono::milliseconds(jitter(random_)));
}

void link_supervisor::suspect(const char* reason, std::chrono::nanoseconds slept) {
    if (driver_ && driver_->current_link()) {
        if (driver_->core().last_heard() > doubted_at_) slept_ = {};
        slept_ += slept;
        abandon_dial();
        return doubt(reason);
    }
    if (!abandon_dial() && !pause_.is_set()) return;
    log::info("link to {}: {}; dialling anew", name_, reason);
    dial();
}

void link_supervisor::check_route() {
    // Networks come and go that no link uses, those of containers for example.
    const auto before = std::exchange(route_, describe_present_route());
    if (before == route_)
        log::debug("link to {}: the network has changed, but not the route there", name_);
    else
        suspect("the network has changed", {});
}

std::string link_supervisor::describe_present_route() const {
    return peer_.is_unspecified() ? describe_network() : describe_route(peer_);
}

void link_supervisor::doubt(const char* reason) {
    log::info("link to {}: {}; checking it and dialling another one", name_, reason);
    doubted_at_ = std::chrono::steady_clock::now();
    driver_->probe();
    if (driver_->core().resumable()) dial();
}

bool link_supervisor::slept_too_long() const {
    const auto& core = driver_->core();
    return core.last_heard() < doubted_at_ &&
           slept_ > std::chrono::milliseconds(core.resume_timeout_ms());
}

bool link_supervisor::abandon_dial() {
    if (!dialing_ && !connecting_ && !(driver_ && driver_->joining())) return false;
    step_limit_.cancel();
    if (dialing_) std::exchange(dialing_, nullptr)->cancel();
    if (connecting_) std::exchange(connecting_, nullptr)->abort();
    if (driver_) driver_->stop_joining();
    return true;
}

void link_supervisor::check() {
    if (!driver_ || !driver_->current_link()) return check_detached();
    // A dial that failed has its back-off.
    if (pause_.is_set() || dialing_ || connecting_ || driver_->joining()) return;
    const auto& core = driver_->core();
    const auto now = std::chrono::steady_clock::now();
    const auto unanswered = core.unanswered_since();
    if (unanswered && now - *unanswered > doubt_after && now - core.last_heard() > doubt_after)
        doubt("the server has been silent for 5 s");
}

void link_supervisor::check_detached() {
    if (!driver_ || !detached_since_) return;
    const std::chrono::milliseconds servers(driver_->core().resume_timeout_ms());
    const auto kept = std::min(recipe_->settings.resume.timeout, servers);
    if (std::chrono::steady_clock::now() - *detached_since_ < kept) return;
    log::warning("link to {} did not come back within {} s: {} streams are reset", name_,
                 kept.count() / 1000, load());
    give_up_session(errc::link_lost, "the link did not come back in time");
}

void link_supervisor::retire() { retired_ = true; }

void link_supervisor::close(close_code code, std::error_code why, std::string_view text) {
    retired_ = true;
    pause_.cancel();
    abandon_dial();
    if (const auto driver = driver_) driver->close(code, why, text);
}

bool link_supervisor::available() const {
    return driver_ && !retired_ && driver_->current_link() && driver_->core().established() &&
           driver_->core().accepts_opens();
}

bool link_supervisor::detached() const {
    return driver_ && !retired_ && driver_->core().accepts_opens();
}

bool link_supervisor::quiet() const {
    return !driver_ || driver_->core().closed() || (load() == 0 && driver_->all_delivered());
}

std::size_t link_supervisor::load() const {
    return driver_ ? driver_->core().stream_count() + driver_->core().opening_count() : 0;
}

// ---- The session

void link_supervisor::succeed() {
    pause_.cancel();
    failures_ = 0;
    back_off_ = back_off_first;
}

void link_supervisor::on_established(session_driver& from) {
    succeed();
    since_ = std::chrono::steady_clock::now();
    spoke_v2_ = spoke_v2_ || from.core().version() >= 2;
    const auto& engine = from.current_link()->engine();
    log::info("link to {} is up ({}, version {}, round trip {:.1f} ms)", name_,
              engine ? engine->agreed() : "plain", from.core().version(),
              std::chrono::duration<double, std::milli>(from.core().rtt()).count());
    if (from.core().version() == 1)
        log::warning("{} speaks protocol version 1: no authentication, no flow control; bytes that "
                     "its buffers drop cannot be known here",
                     name_);
    watcher_.on_link_available(*this);
}

void link_supervisor::on_opened(session_driver& from, stream& opened) {
    from.core().release(opened); // Not reached: a client refuses streams.
}

void link_supervisor::on_goaway(session_driver& from) {
    log::info("{} takes no new streams on this link: {}", name_,
              log::escape(from.core().peer_text()));
    watcher_.on_link_retiring(*this);
}

void link_supervisor::on_detached(session_driver& from, std::error_code, const std::string& text) {
    // The server closes the old link just before its JOIN_OK: nothing to be alarmed about.
    if (from.joining())
        log::debug("link to {} closed while its session moves to another one: {}", name_, text);
    else
        log::warning("link to {} lost: {}; {} streams wait to be resumed", name_, text, load());
    detached_since_ = std::chrono::steady_clock::now();
    // At once, and then with back-off.
    pause_.cancel();
    start();
}

void link_supervisor::on_joined(session_driver& from, link_number joined) {
    step_limit_.cancel();
    detached_since_.reset();
    succeed();
    log::info("link to {} is back, {} streams go on", name_, load());
    // It takes the place of the one that was in doubt.
    from.give_up_others(joined, errc::link_replaced);
    watcher_.on_link_available(*this);
}

void link_supervisor::on_join_failed(session_driver& from, const join_fail_frame& failure,
                                     link_ptr with) {
    step_limit_.cancel();
    const bool for_good = failure.code == join_failure::unknown_session && slept_too_long();
    if (from.current_link() && !for_good) {
        // Another server may have answered than the one that has the session. Had that one given
        // it up, it would have closed the old link, too, and that will be seen.
        log::info("link to {}: what answered cannot resume the session (code {}); the link that "
                  "stands goes on",
                  name_, static_cast<unsigned>(failure.code));
        return schedule_dial();
    }
    if (failure.code != join_failure::unknown_session)
        return on_dial_failed("the server cannot resume the session now");
    log::warning("{} does not know the session any more: {} streams are reset", name_, load());
    give_up_session(errc::resume_refused, "the server does not know the session");
    if (!retired_) begin_session(std::move(with), true);
}

void link_supervisor::on_join_lost(session_driver&, std::error_code, const std::string& text) {
    step_limit_.cancel();
    on_dial_failed(text);
}

void link_supervisor::give_up_session(std::error_code why, const std::string& text) {
    const auto old = std::exchange(driver_, nullptr);
    detached_since_.reset();
    old->forget_delegate();
    old->close(close_code::normal, why, text);
}

void link_supervisor::on_closed(session_driver& from, std::error_code why,
                                const std::string& text) {
    if (driver_.get() != &from) return;
    const driver_ptr keep = std::exchange(driver_, nullptr);
    detached_since_.reset();
    if (retired_) return watcher_.on_link_failed(*this);
    if (why == errc::link_lost || failures_ == 0) log::debug("session with {} is over", name_);
    const auto& said = from.core().peer_text();
    // What a TLS server answers to a plain link is noise, or nothing at all.
    const bool unheard = !recipe_->tls && said.empty() && !spoke_v2_ &&
                         why != errc::authentication_failed && why != errc::closed_locally;
    const std::string doubt = unheard ? "; is tls.enabled false on the server, too?" : "";
    on_dial_failed((said.empty() ? text : text + ": " + log::escape(said)) + doubt);
}

} // namespace muxsocks::client
