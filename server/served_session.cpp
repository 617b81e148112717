#include "server/served_session.hpp"

#include "protocol/fields.hpp"
#include "protocol/link/tls/session_crypto.hpp"
#include "protocol/program/log.hpp"

#include <boost/asio/ip/network_v6.hpp>
#include <fmt/core.h>

#include <unistd.h>

#include <utility>

namespace muxsocks::server {
namespace {

/// Measured (13 KiB), and rounded up: an idle session without a link, and each stream with its
/// relay. What the kernel holds for a stream's socket is not counted.
constexpr std::size_t session_bytes = 16 * 1024;
constexpr std::size_t stream_bytes = 1024;

/// Where users have rates, a stream gets no more on trust than a request and a head: HELLO tells it
/// before anybody knows who comes. Others get the rest with the first CREDIT.
constexpr std::uint32_t unasked_at_rates = 4096;

} // namespace

served_session::served_session(worker& at, admission::ticket ticket, boost::asio::ip::address peer,
                               may_begin_as as)
    : worker_(at),
      ticket_(std::move(ticket)),
      peer_(std::move(peer)),
      expiry_(at.thread().clock(),
              [this] {
                  close(close_code::normal, errc::link_lost, "the session was not resumed in time");
              }),
      driver_(new session_driver(at.thread(), make_settings(as), *this)) {}

served_session::served_session(worker& at, const session_state& from, const served_owner& owner)
    : worker_(at),
      peer_(owner.peer),
      subject_(owner.subject),
      key_(owner.key),
      expiry_(at.thread().clock(),
              [this] {
                  close(close_code::normal, errc::link_lost, "the session was not resumed in time");
              }),
      driver_(new session_driver(at.thread(),
                                 settings_for(make_settings(may_begin_as::begun), from), *this)),
      was_up_(true) {}

served_session::~served_session() {
    if (registered_) worker_.shared().registry.erase(id());
    charge_detached(0);
    if (account_) account_->addresses().move(counted_at_, {});
    driver_->core().rates().set(nullptr, nullptr);
    driver_->forget_delegate();
    driver_->close(close_code::shutting_down, errc::closed_locally, "the server has stopped");
}

// ---- A hand-over

std::vector<std::uint8_t> encode(const served_owner& owner) {
    constexpr std::uint8_t form = 1;
    const auto peer = owner.peer.to_string();
    return field_writer(form)
        .u8(static_cast<std::uint8_t>(peer.size()))
        .text(peer)
        .bytes(owner.key)
        .text(owner.subject)
        .done();
}

std::optional<served_owner> decode_served_owner(bytes_view bytes) {
    if (bytes.empty() || bytes[0] != 1) return {};
    field_reader in(bytes);
    served_owner owner;
    boost::system::error_code error;
    owner.peer = asio::ip::make_address(in.text(in.u8()), error);
    owner.key = in.bytes<32>();
    owner.subject = in.text(in.left());
    if (error || !in.done()) return {};
    return owner;
}

session_state served_session::save(std::vector<int>& sockets) {
    auto state = driver_->save(sockets);
    state.owner = encode(served_owner{peer_, subject_, key_});
    return state;
}

void served_session::resume(const session_state& from, descriptor_list sockets) {
    const driver_ptr keep = driver_;
    const auto streams = keep->restore(from);
    const auto user = worker_.now_serving().find_user(from.agreed.user, 2);
    (void)take_traffic(); // That is the other process's.
    charge_to_user(*user);
    // What is there stays, whatever the limits are.
    account_->take_anyway(user_place::session);
    place_ = held_place(account_, user_place::session);
    worker_.enlist(*this);
    enlist();
    for (std::size_t i = 0; i < streams.size(); ++i) {
        if (!from.streams[i].owned) continue;
        const auto& owner = from.streams[i].owner;
        const int socket = target_has_socket(owner) ? sockets.take() : -1;
        if (resume_target(keep, *streams[i], owner, socket, worker_.services(), policy_, account_))
            continue;
        descriptor_list own;
        if (socket >= 0) own.add(socket);
        reset_when_running(worker_.context(), std::move(own));
        keep->core().release(*streams[i]);
    }
    reset_when_running(worker_.context(), std::move(sockets));
    keep->resume();
    log::info("session of {} goes on here, {} streams with it", name(), streams.size());
    wait_for_client();
}

session_settings served_session::make_settings(may_begin_as as) {
    const auto& settings = worker_.now_serving().settings;
    session_settings made;
    made.side = role::server;
    made.crypto = session_crypto();
    made.pool = &worker_.thread().chunks();
    made.budget = &worker_.thread().budget();
    made.stream_window_max = settings.memory.stream_window;
    if (worker_.now_serving().has_upload_rates()) made.unasked_window = unasked_at_rates;
    made.session_memory = settings.memory.session;
    made.max_streams = worker_.now_serving().most_streams();
    made.keepalive = {settings.keepalive.interval, settings.keepalive.timeout};
    made.flood.opens_per_second = settings.limits.opens_per_second;
    made.flood.opens_burst = settings.limits.opens_burst;
    made.flood.incomplete_per_second = settings.limits.incomplete_opens_per_second;
    made.flood.incomplete_burst = settings.limits.incomplete_opens_burst;
    made.flood.resets_per_second = settings.limits.resets_per_second;
    made.flood.resets_burst = settings.limits.resets_burst;
    made.max_links = static_cast<std::uint8_t>(settings.link.max);
    made.join_at = settings.join_at;
    made.resume = settings.resume.enabled;
    made.resume_timeout_ms = static_cast<std::uint32_t>(settings.resume.timeout.count());
    made.datagrams = settings.udp.enabled;
    made.channel_binding = settings.tls.enabled && settings.tls.channel_binding;
    made.allow_v1 = as == may_begin_as::any_version;
    made.first_frame_seen = as == may_begin_as::begun;
    made.handshake_timeout = settings.timeouts.handshake;
    made.frame_timeout = settings.timeouts.frame;
    made.find_user = [this](std::string_view name) -> std::optional<user_access> {
        const auto user = worker_.now_serving().find_user(name, 2);
        if (!user) return {};
        return user_access{user->key, user->limits.streams};
    };
    return made;
}

std::size_t served_session::begin(link_ptr on, bytes_view first) {
    const driver_ptr keep = driver_;
    keep->share_with(worker_.shares().strangers());
    if (on->engine()) subject_ = on->engine()->peer_subject();
    return keep->start(std::move(on), first);
}

bool served_session::may_join(const link& next) const {
    return subject_ == (next.engine() ? next.engine()->peer_subject() : std::string());
}

std::optional<join_fail_frame> served_session::join(link_ptr next,
                                                    const boost::asio::ip::address& from,
                                                    const join_frame& frame, bytes_view behind,
                                                    std::size_t& used) {
    const driver_ptr keep = driver_;
    const bool alone = !keep->core().attached();
    const auto joined = next;
    const bool room = account_->has_place(user_place::link) && may_come_from(from);
    const auto failure = keep->join(std::move(next), frame, behind, used, room);
    if (failure && failure->code == join_failure::try_later) tell_refused_link(from);
    if (failure) return failure;
    joined->set_trusted(true);
    account_->addresses().move(counted_at_, counted_address(from));
    count_links();
    if (keep->core().closed()) return failure;
    if (alone)
        log::info("link from {} is back, {} streams go on", name(), keep->core().stream_count());
    else
        log::info("another link from {} is up, {} in all", name(), keep->core().link_count());
    return failure;
}

std::string served_session::name() const { return log::escape(unescaped_name()); }

std::string served_session::unescaped_name() const {
    auto user = driver_->core().user();
    if (user.empty()) user = subject_;
    return user.empty() ? peer_.to_string() : user + "@" + peer_.to_string();
}

std::string served_session::whose() const {
    if (!driver_->core().user().empty()) return driver_->core().user();
    if (!subject_.empty()) return subject_;
    if (!peer_.is_v6()) return peer_.to_string();
    // One subscriber has a /64.
    return asio::ip::make_network_v6(peer_.to_v6(), 64).canonical().to_string();
}

void served_session::on_established(session_driver& from) {
    const auto& core = from.core();
    const auto user = worker_.now_serving().find_user(core.user(), core.version());
    worker_.shared().admission_of_links->on_success(peer_);
    worker_.on_authenticated(ticket_.id());
    ticket_ = {};
    was_up_ = true;
    if (!user) return close(close_code::user_removed, errc::authentication_failed, "unknown user");
    key_ = user->key;
    charge_to_user(*user);
    if (!take_place()) return;
    look_at_user(std::chrono::system_clock::now());
    from.current_link()->set_trusted(true);
    begun_late_ = worker_.shared().draining;
    const auto up = fmt::format(
        "link from {} is up ({}, version {})", name(),
        from.current_link()->engine() ? from.current_link()->engine()->agreed() : "plain",
        core.version());
    if (begun_late_)
        log::debug("{}", up);
    else
        log::info("{}", up);
    if (core.agreed().keeps) {
        worker_.enlist(*this);
        enlist();
    }
    if (worker_.shared().draining) go_away(close_code::shutting_down, "the server is stopping");
}

void served_session::on_opened(session_driver& from, stream& opened) {
    auto place = held_place::take(account_, user_place::stream);
    if (refuse_stream(from, opened, place)) return;
    const boost::intrusive_ptr<target_connection> target(new target_connection(
        &from, opened, worker_.services(), policy_, account_, std::move(place)));
    target->begin();
}

void served_session::on_detached(session_driver& from, std::error_code why,
                                 const std::string& text) {
    log::info(log::because{to_string(link_end_of(why))},
              "link from {} lost: {}; {} streams wait to be resumed", name(), text,
              from.core().stream_count());
    wait_for_client();
}

void served_session::wait_for_client() {
    expiry_.expires_after(worker_.now_serving().settings.resume.timeout);
    count_links();
    charge_detached(own_bytes());
    const auto gone = worker_.shared().registry.on_detached(id(), driver_->core().memory_held() +
                                                                      charged_detached_);
    for (const auto& victim : gone)
        worker::evict(victim, "given up for newer sessions (resume.sessions, limits.user.sessions, "
                              "limits.user.detached_memory)");
}

void served_session::on_link_gone(session_driver& from, link_number, std::error_code why,
                                  const std::string& text) {
    count_links();
    log::debug(log::because{to_string(link_end_of(why))},
               "a link from {} has ended: {}; {} others carry the session", name(), text,
               from.core().link_count());
}

void served_session::on_attached(session_driver&) {
    expiry_.cancel();
    charge_detached(0);
    count_links();
    enlist(); // Anew: it may have been chosen to go for newer ones just now.
}

void served_session::enlist() {
    registered_ = true;
    worker_.shared().registry.insert(id(), worker_, account_);
}

std::size_t served_session::own_bytes() const {
    return session_bytes + driver_->core().stream_count() * stream_bytes;
}

void served_session::charge_detached(std::size_t bytes) {
    if (!account_) return;
    auto& budget = account_->memory();
    budget.give(std::exchange(charged_detached_, bytes));
    if (bytes == 0 || budget.take(bytes)) return;
    budget.take_anyway(bytes);
    (void)budget.relieve(0); // Others that are detached go for it, the oldest first.
}

void served_session::on_closed(session_driver& from, std::error_code why, const std::string& text) {
    if (!was_up_ && why != errc::closed_by_peer && !ticket_.lost())
        worker_.shared().admission_of_links->on_silent_end(peer_);
    if (why == errc::authentication_failed) ++worker_.thread().counters().authentications_failed;
    if (why == errc::authentication_failed)
        log::warning(
            log::kind{"links refused for their authentication", host_of(peer_).to_string()},
            "link from {} refused: authentication failed for user \"{}\": check auth.user "
            "and auth.token on the client and users[] here",
            peer_.to_string(), log::escape(from.core().user()));
    else if (!was_up_ && why == errc::closed_by_peer)
        log::debug("link from {} closed before it authenticated: {}", name(),
                   log::escape(from.core().peer_text()));
    else if (!was_up_)
        log::info(log::kind{"links closed before they authenticated"}, "link from {} closed: {}",
                  name(), text);
    else if (begun_late_)
        log::debug("link from {} closed: {}", name(), text);
    else if (from.core().peer_text().empty())
        log::info(log::because{to_string(link_end_of(why))}, "link from {} closed: {}", name(),
                  text);
    else
        log::info(log::because{to_string(link_end_of(why))}, "link from {} closed: {}: {}", name(),
                  text, log::escape(from.core().peer_text()));
    place_ = {};
    links_.clear();
    if (account_) account_->addresses().move(counted_at_, {});
    worker_.forget(*this);
}

duration served_session::answer_delay(session_driver&, std::error_code why) {
    if (why != errc::authentication_failed) return {};
    ticket_.on_progress(link_progress::failed);
    return worker_.shared().admission_of_links->on_failure(peer_);
}

void served_session::go_away(close_code code, std::string_view text) {
    // A client that knows no other server may open streams to the last moment.
    driver_->go_away(code, worker_.now_serving().settings.timeouts.drain, text, true);
}

void served_session::close(close_code code, std::error_code why, std::string_view text) {
    const driver_ptr keep = driver_;
    keep->close(code, why, text);
}

void served_session::give_way() {
    if (driver_->core().closed()) return driver_->hurry_last_words();
    close(close_code::normal, errc::closed_locally,
          "it gave its place to a newer one (limits.unauthenticated, "
          "limits.unauthenticated_per_address)");
}

void served_session::on_reload() {
    auto& core = driver_->core();
    if (!core.established()) return;
    const auto& serving = worker_.now_serving();
    const auto user = serving.find_user(core.user(), core.version());
    if (!user || user->key != key_)
        return close(close_code::user_removed, errc::authentication_failed,
                     "the user was removed or has a new token");
    policy_ = user->policy;
    account_->set(serving.limits_of(account_->name()));
    account_->set(user->terms);
    keep_to_rates();
    look_at_user(std::chrono::system_clock::now());
    if (core.closed()) return;
    core.set_keepalive({serving.settings.keepalive.interval, serving.settings.keepalive.timeout});
}

} // namespace muxsocks::server
