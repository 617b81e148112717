#include "client/link_supervisor.hpp"

#include "client/lasting_failure.hpp"
#include "client/network.hpp"
#include "protocol/link/tls/link_error.hpp"
#include "protocol/program/log.hpp"

#include <algorithm>

namespace muxsocks::client {
namespace {

using namespace std::chrono_literals;

instant now() { return std::chrono::steady_clock::now(); }

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
      extra_(thread, services, *this),
      policy_(std::random_device{}()),
      clock_(thread.clock(), [this] {
          check();
          carry_out(policy_.on_deadline(now()));
      }) {}

link_supervisor::~link_supervisor() {
    abandon_dial();
    if (!driver_) return;
    const auto driver = std::exchange(driver_, nullptr);
    driver->forget_delegate();
    driver->close(close_code::normal, errc::closed_locally, "the link is no longer needed");
}

// ---- The policy

void link_supervisor::carry_out(const link_policy::orders& given) {
    if (given.abandon) abandon_dial();
    if (given.doubt) say_doubt(given.doubt);
    if (given.dial) dial();
    if (given.probe && driver_) driver_->probe();
    if (given.time_out) time_out_step();
    if (given.give_up && driver_) {
        log::warning("nothing came through to {} for {} s: {} streams are reset", name_,
                     session_limit().count() / 1000, load());
        give_up_session(errc::link_lost, "the link did not come back in time");
    }
    say_news();
    if (const auto at = policy_.deadline())
        clock_.expires_at(*at);
    else
        clock_.cancel();
}

void link_supervisor::say_doubt(const char* why) const {
    if (!driver_ || !driver_->current_link())
        return log::info("link to {}: {}; dialling anew", name_, why);
    const auto limit = policy_.segment_bytes();
    const auto text = fmt::format(
        "link to {}: {}; checking it and dialling another one{}", name_, why,
        limit > 0 ? fmt::format(" with segments of at most {} bytes", limit) : std::string());
    if (policy_.fruitless() < fruitless_news)
        log::info("{}", text);
    else
        log::debug("{}", text);
}

void link_supervisor::say_news() {
    const auto limit = policy_.take_hole();
    if (!limit) return;
    log::warning("link to {}: the path swallows large packets, and no ICMP comes to say so; with "
                 "TCP segments of at most {} bytes it works. Somewhere on the way is a smaller MTU "
                 "than on this machine's interface, and a firewall that drops \"fragmentation "
                 "needed\" (IPv6: \"packet too big\")",
                 name_, *limit);
}

progress_facts link_supervisor::facts() const {
    progress_facts seen;
    const auto on = driver_->find_link(watched_);
    seen.path = on ? on->path() : policy_.path();
    const auto& core = driver_->core();
    const auto& moved = core.statistics();
    seen.frames_acked = moved.frames_acked;
    seen.frames_received = moved.frames_received + moved.bytes_received;
    seen.owes = core.owes_answer(watched_);
    seen.streams = load() > 0;
    return seen;
}

std::optional<path_facts> link_supervisor::dialled_path() const {
    if (connecting_) return connecting_->path();
    if (driver_ && driver_->joining() && !extra_.joining()) return driver_->joining_link()->path();
    return {};
}

void link_supervisor::check() {
    const bool up = policy_.link() != link_policy::link_state::none && driver_;
    const auto link = up ? std::optional(facts()) : std::nullopt;
    const auto dialled = dialled_path();
    carry_out(policy_.look(link ? &*link : nullptr, dialled ? &*dialled : nullptr, now()));
}

// ---- Dialling

void link_supervisor::start() {
    if (!finished()) carry_out(policy_.start(now()));
}

void link_supervisor::dial() {
    if (finished()) return policy_.stop_dialling();
    if (route_.empty()) route_ = describe_present_route();
    policy_.set_handshake_limit(recipe_->settings.timeouts.handshake);
    dial_begun_ = now();
    const auto at = address_to_dial();
    dialled_join_at_ = at != server_.address;
    dialing_ = dial_server(services_, recipe_, server_, at, policy_.segment_bytes(),
                           [this](const dial_failure& failure, tcp_socket socket) {
                               dialing_.reset();
                               on_connected(failure, std::move(socket));
                           });
}

void link_supervisor::on_connected(const dial_failure& failure, tcp_socket socket) {
    if (failure) return on_dial_failed(failure.why, failure.text());
    policy_.on_connected(now());
    boost::system::error_code gone;
    peer_ = socket.remote_endpoint(gone).address();
    route_ = describe_present_route();
    set_congestion(socket.native_handle(), recipe_->settings.link.congestion);
    connecting_ = new link(thread_, std::move(socket), make_engine(*recipe_, server_));
    carry_out({});
    const auto started = connecting_;
    started->start(*this);
}

void link_supervisor::on_link_up(link& from) {
    const link_ptr up(&from);
    if (connecting_ != up) return;
    check(); // The link beside may move again.
    if (connecting_ != up) return;
    const bool join = driver_ && driver_->core().resumable();
    const auto orders = policy_.on_secured(join, now());
    if (!orders.abandon) connecting_.reset();
    carry_out(orders);
    if (orders.abandon) return;
    abandon_extra();
    if (join)
        driver_->join_on(up);
    else
        begin_session(up);
}

void link_supervisor::time_out_step() {
    // What its TCP knows tells why.
    const auto path = dialled_path();
    const bool secured = connecting_ == nullptr;
    abandon_dial();
    avoid_join_at_ = dialled_join_at_;
    say_failure(secured ? "the server did not answer JOIN in time"
                        : make_error_code(link_errc::tls_handshake_timeout).message(),
                false);
    carry_out(
        policy_.on_dial_failed(link_policy::failure::passing, path ? &*path : nullptr, now()));
    watcher_.on_link_failed(*this);
}

void link_supervisor::on_link_down(link& from, std::error_code error, const std::string& text) {
    if (connecting_.get() != &from) return;
    connecting_.reset();
    on_dial_failed(error, text);
}

void link_supervisor::begin_session(link_ptr on, bool behind_join) {
    watched_ = 0;
    avoid_join_at_ = false;
    const bool alpn = on->engine() && !on->engine()->alpn().empty();
    const bool may_be_v1 = recipe_->settings.allow_v1 && !alpn && !spoke_v2_;
    driver_ = new session_driver(
        thread_, make_session_settings(recipe_->settings, thread_, may_be_v1, behind_join), *this);
    driver_->start(std::move(on));
}

void link_supervisor::on_dial_failed(std::error_code why, const std::string& text) {
    const bool lasting = is_lasting(why);
    avoid_join_at_ = dialled_join_at_;
    say_failure(text, lasting);
    carry_out(policy_.on_dial_failed(
        lasting ? link_policy::failure::lasting : link_policy::failure::passing, nullptr, now()));
    watcher_.on_link_failed(*this);
}

void link_supervisor::say_failure(const std::string& text, bool lasting) {
    failure_ = text;
    const auto count = policy_.failures() + 1;
    // The first failure is news, and another reason; of those that follow only each tenth.
    const bool news = lasting && std::exchange(last_failure_, text) != text;
    if (!lasting) last_failure_.clear();
    const auto attempt = count > 1 ? fmt::format(" (attempt {})", count) : std::string();
    if (news)
        log::warning("link to {} failed: {}{}. This does not pass by itself: requests are refused "
                     "at once until a later try succeeds",
                     name_, text, attempt);
    else if (count == 1 || (count % 10 == 0 && !lasting))
        log::warning("link to {} failed: {}{}", name_, text, attempt);
    else
        log::debug("link to {} failed: {}", name_, text);
}

void link_supervisor::hurry() {
    policy_.hurry(now());
    carry_out({});
}

void link_supervisor::suspect(const char* reason, std::chrono::nanoseconds slept) {
    if (driver_ && driver_->current_link()) {
        if (driver_->core().last_heard() > doubted_at_) slept_ = {};
        slept_ += slept;
        doubted_at_ = now();
    }
    carry_out(policy_.suspect(reason, now()));
}

void link_supervisor::check_route() {
    // Networks come and go that no link uses, those of containers for example.
    const auto before = std::exchange(route_, describe_present_route());
    if (before == route_)
        return log::debug("link to {}: the network has changed, but not the route there", name_);
    policy_.on_route_changed();
    suspect("the network has changed", {});
}

std::string link_supervisor::describe_present_route() const {
    return peer_.is_unspecified() ? describe_network() : describe_route(peer_);
}

bool link_supervisor::slept_too_long() const {
    const auto& core = driver_->core();
    return core.last_heard() < doubted_at_ &&
           slept_ > std::chrono::milliseconds(core.resume_timeout_ms());
}

void link_supervisor::abandon_dial() {
    if (dialing_) std::exchange(dialing_, nullptr)->cancel();
    if (connecting_) std::exchange(connecting_, nullptr)->abort();
    if (driver_ && !extra_.joining()) driver_->stop_joining();
}

void link_supervisor::retire() { retired_ = true; }

void link_supervisor::close(close_code code, std::error_code why, std::string_view text) {
    retired_ = true;
    abandon_dial();
    abandon_extra();
    policy_.stop_dialling();
    clock_.cancel();
    if (const auto driver = driver_) driver->close(code, why, text);
}

bool link_supervisor::available() const {
    return driver_ && !retired_ && driver_->current_link() && driver_->core().established() &&
           driver_->core().accepts_opens();
}

bool link_supervisor::available_late() const {
    return driver_ && driver_->current_link() && driver_->core().established() &&
           driver_->core().accepts_late_opens();
}

bool link_supervisor::detached() const {
    return driver_ && !retired_ && driver_->core().accepts_opens();
}

bool link_supervisor::quiet() const {
    if (!driver_ || driver_->core().closed()) return true;
    if (!driver_->core().attached()) return driver_->core().brings_nothing();
    return load() == 0 && driver_->all_delivered();
}

std::size_t link_supervisor::load() const {
    return driver_ ? driver_->core().stream_count() + driver_->core().opening_count() : 0;
}

// ---- The session

std::chrono::milliseconds link_supervisor::session_limit() const {
    const std::chrono::milliseconds servers(driver_->core().resume_timeout_ms());
    return std::min(recipe_->settings.resume.timeout, servers);
}

void link_supervisor::on_up() {
    failure_.clear();
    last_failure_.clear();
    avoid_join_at_ = false;
    const bool resumable = driver_->core().resumable();
    policy_.set_resumable(resumable);
    policy_.set_session_limit(resumable ? duration(session_limit()) : duration::max());
    policy_.on_up(facts(), now());
    carry_out({});
    watcher_.on_link_available(*this);
}

void link_supervisor::on_established(session_driver& from) {
    since_ = now();
    spoke_v2_ = spoke_v2_ || from.core().version() >= 2;
    const auto& engine = from.current_link()->engine();
    up_text_ = fmt::format("link to {} is up ({}, version {}, round trip {:.1f} ms)", name_,
                           engine ? engine->agreed() : "plain", from.core().version(),
                           std::chrono::duration<double, std::milli>(from.core().rtt()).count());
    if (!quiet_) say_up();
    if (from.core().version() == 1)
        log::warning("{} speaks protocol version 1: no authentication, no flow control; bytes that "
                     "its buffers drop cannot be known here",
                     name_);
    on_up();
}

void link_supervisor::on_opened(session_driver& from, stream& opened) {
    from.core().release(opened); // Not reached: a client refuses streams.
}

void link_supervisor::say_up() {
    quiet_ = false;
    if (!up_text_.empty()) log::info("{}", std::exchange(up_text_, {}));
}

void link_supervisor::on_goaway(session_driver& from) {
    const auto text = fmt::format("{} takes no new streams on this link: {}", name_,
                                  log::escape(from.core().peer_text()));
    if (quiet_)
        log::debug("{}", text);
    else
        log::info("{}", text);
    watcher_.on_link_retiring(*this);
}

void link_supervisor::on_detached(session_driver& from, std::error_code why,
                                  const std::string& text) {
    const log::because because{to_string(link_end_of(why))};
    // The server may close the old link just before its JOIN_OK: nothing to be alarmed about.
    if (from.joining() || policy_.fruitless() >= fruitless_news)
        log::debug(because, "link to {} lost, or closed while its session moves to another one: {}",
                   name_, text);
    else
        log::warning(because, "link to {} lost: {}; {} streams wait to be resumed", name_, text,
                     load());
    abandon_extra();
    carry_out(policy_.on_link_lost(facts(), now()));
}

void link_supervisor::give_up_session(std::error_code why, const std::string& text) {
    abandon_extra();
    const auto old = std::exchange(driver_, nullptr);
    if (policy_.dial() == link_policy::dial_state::resuming) policy_.stop_dialling();
    if (policy_.dial() != link_policy::dial_state::beginning) policy_.on_session_over();
    old->forget_delegate();
    old->close(close_code::normal, why, text);
}

void link_supervisor::on_closed(session_driver& from, std::error_code why,
                                const std::string& text) {
    if (driver_.get() != &from) return;
    abandon_extra();
    const driver_ptr keep = std::exchange(driver_, nullptr);
    policy_.on_session_over();
    if (retired_) {
        policy_.stop_dialling();
        carry_out({});
        return watcher_.on_link_failed(*this);
    }
    if (why == errc::link_lost || policy_.failures() == 0)
        log::debug("session with {} is over", name_);
    const auto& said = from.core().peer_text();
    // What a TLS server answers to a plain link is noise, or nothing at all.
    const bool unheard = !recipe_->tls && said.empty() && !spoke_v2_ &&
                         why != errc::authentication_failed && why != errc::closed_locally;
    const std::string doubt = unheard ? "; is tls.enabled false on the server, too?" : "";
    const auto all = (said.empty() ? text : text + ": " + log::escape(said)) + doubt;
    if (!dialing_ && !connecting_) return on_dial_failed(cause_of(why, said), all);
    // The one that was dialled beside its link begins a new session.
    say_failure(all, false);
    watcher_.on_link_failed(*this);
}

} // namespace muxsocks::client
