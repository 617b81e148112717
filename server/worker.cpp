#include "server/worker.hpp"

#include "protocol/link/tls/session_crypto.hpp"
#include "protocol/program/log.hpp"
#include "protocol/program/relay_settings.hpp"
#include "server/incoming_link.hpp"
#include "server/served_session.hpp"

#include <boost/asio/post.hpp>

#include <unistd.h>

namespace muxsocks::server {
namespace {

using namespace std::chrono_literals;

constexpr auto users_check_interval = 1s;
/// Of what one may move beyond its quota.
constexpr auto quotas_check_interval = 250ms;

resolver_options dns_options(const dns_settings& settings, dns_watch& watch) {
    resolver_options options;
    for (const auto& server : settings.servers)
        options.servers.emplace_back(asio::ip::make_address(server.host), server.port);
    options.timeout = settings.timeout;
    options.prefer_ipv4 = settings.prefer == ip_preference::ipv4;
    options.remember_failures = true;
    options.on_dns_result = [&watch](std::error_code error) { watch.on_result(error); };
    return options;
}

} // namespace

worker::worker(shared_state& shared)
    : shared_(shared),
      recipe_(shared.current),
      thread_(shared.budget),
      resolver_(std::make_unique<resolver>(thread_.context(), thread_.clock(),
                                           dns_options(recipe_->settings.dns, shared_.dns))),
      dialer_(std::make_unique<dialer>(
          dial_services{thread_.context(), thread_.clock(), *resolver_, 250ms,
                        recipe_->settings.dns.prefer == ip_preference::ipv4},
          dial_limits{recipe_->settings.limits.dials, recipe_->settings.limits.lookups,
                      recipe_->settings.timeouts.connect},
          own_addresses(), shared_.places)),
      lookups_(thread_, *resolver_, shared_.places, recipe_->settings.timeouts.connect),
      relay_timeouts_(
          make_relay_timeouts(recipe_->settings.timeouts, recipe_->settings.tcp_keepalive)),
      udp_(recipe_->settings.udp),
      services_{*dialer_,
                recipe_->settings.timeouts.request,
                relay_timeouts_,
                shared.refusals,
                shared.files,
                lookups_,
                udp_,
                own_} {
    shared_.registry.enlist(*this);
}

worker::~worker() {
    incoming_.clear();
    sessions_.clear();
}

// ---- New links

void shared_state::make_go(worker& owner, admission::link_id id) {
    asio::post(owner.context(), [&owner, id] { owner.on_place_lost(id); });
}

void worker::on_place_lost(admission::link_id id) {
    for (const auto& [link, owned] : incoming_)
        if (link->place() == id) return link->give_way();
    const auto found = authenticating_.find(id);
    if (found != authenticating_.end()) found->second->give_way();
}

void worker::take(int descriptor, admission::ticket ticket, boost::asio::ip::address peer) {
    asio::post(context(),
               [this, descriptor, ticket = std::move(ticket), peer = std::move(peer)]() mutable {
                   boost::system::error_code error;
                   tcp_socket socket(context().get_executor());
                   socket.assign(asio::ip::tcp::v4(), descriptor, error);
                   if (error) {
                       ::close(descriptor);
                       return;
                   }
                   add(std::make_unique<incoming_link>(*this, std::move(socket), std::move(ticket),
                                                       std::move(peer)));
               });
}

void worker::take(link::parts parts, admission::ticket ticket, boost::asio::ip::address peer) {
    ticket.belongs_to(*this);
    struct moved {
        link::parts parts;
        admission::ticket ticket;
        boost::asio::ip::address peer;
    };
    auto all = std::make_shared<moved>(moved{std::move(parts), std::move(ticket), std::move(peer)});
    asio::post(context(), [this, all] {
        add(std::make_unique<incoming_link>(*this, std::move(all->parts), std::move(all->ticket),
                                            all->peer));
    });
}

void worker::add(std::unique_ptr<incoming_link> one) {
    auto& added = *one;
    incoming_.emplace(&added, std::move(one));
    count();
    added.begin();
}

void worker::forget(incoming_link& one) {
    const auto found = incoming_.find(&one);
    if (found == incoming_.end()) return;
    // It is still on the stack.
    auto gone = std::make_shared<std::unique_ptr<incoming_link>>(std::move(found->second));
    incoming_.erase(found);
    count();
    asio::post(context(), [gone] { gone->reset(); });
}

std::size_t worker::begin_session(link_ptr on, admission::ticket ticket,
                                  boost::asio::ip::address peer, may_begin_as as,
                                  bytes_view first) {
    const auto place = ticket.id();
    ticket.on_progress(link_progress::speaking);
    auto made = std::make_unique<served_session>(*this, std::move(ticket), std::move(peer), as);
    auto& added = *made;
    authenticating_.emplace(place, &added);
    sessions_.emplace(&added, std::move(made));
    count();
    return added.begin(std::move(on), first);
}

// ---- Sessions

served_session* worker::find_session(const session_id& id) {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

void worker::enlist(served_session& one) { by_id_.emplace(one.id(), &one); }

void worker::forget(served_session& one) {
    const auto found = sessions_.find(&one);
    if (found == sessions_.end()) return;
    authenticating_.erase(one.place());
    count_use(one);
    if (one.account()) count_traffic(*one.account(), one.take_traffic());
    one.give_share();
    auto gone = std::make_shared<std::unique_ptr<served_session>>(std::move(found->second));
    sessions_.erase(found);
    by_id_.erase(one.id());
    count();
    asio::post(context(), [gone] { gone->reset(); });
}

void worker::evict(const session_registry::victim& victim, const char* why, eviction how,
                   std::function<void()> done) {
    asio::post(victim.owner->context(), [victim, why, how, done = std::move(done)] {
        const auto session = victim.owner->find_session(victim.id);
        // It may have been resumed since it was chosen.
        if (session && (how == eviction::in_any_case || !session->driver().core().attached())) {
            log::info("session of {}: {}", session->name(), why);
            session->close(close_code::normal, errc::link_lost, why);
        }
        if (done) done();
    });
}

void worker::count() {
    load_.store(incoming_.size() + sessions_.size(), std::memory_order_relaxed);
    if (!sessions_.empty() && !users_check_.is_set() && recipe_->has_timed_users())
        users_check_.expires_after(recipe_->has_quotas()
                                       ? std::chrono::milliseconds(quotas_check_interval)
                                       : std::chrono::milliseconds(users_check_interval));
}

std::vector<served_session*> worker::all_sessions() const {
    std::vector<served_session*> all;
    for (const auto& [session, owned] : sessions_)
        all.push_back(session);
    return all;
}

void worker::count_traffic(user_account& user, const traffic& moved) {
    if (!recipe_->is_counted(user.name())) return;
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const auto standing =
        shared_.usage.add(user.name(), moved, recipe_->terms_of(user.name()).quota, now);
    user.set(standing);
    if (!standing.news) return;
    log::info("{}: {}", log::escape(user.name()),
              recipe_->terms_of(user.name()).quota.sentence(standing.until));
    if (shared_.on_quota_used_up) shared_.on_quota_used_up();
}

void worker::count_traffic() {
    if (recipe_->settings.accounting.file.empty()) return;
    std::unordered_map<user_account_ptr, traffic> moved;
    for (const auto& [session, owned] : sessions_)
        if (session->account()) moved[session->account()] += session->take_traffic();
    for (const auto& [user, bytes] : moved)
        count_traffic(*user, bytes);
}

void worker::look_at_users() {
    // Not from within the deadline: it may end sessions.
    asio::post(context(), [this] {
        const auto now = std::chrono::system_clock::now();
        count_traffic();
        for (const auto session : all_sessions())
            session->look_at_user(now);
        count();
    });
}

// ---- A hand-over

void worker::save(const giving_sessions::send& one) {
    count_traffic();
    saved_.clear();
    for (const auto& [id, session] : by_id_) {
        if (!session->may_be_saved()) continue;
        saved_.push_back(id);
        std::vector<int> sockets;
        const auto state = encode(session->save(sockets), session_crypto());
        if (!one(handed_piece::session, state, sockets)) return;
    }
}

void worker::let_go(std::uint32_t& number, const std::set<std::uint32_t>& refused) {
    for (const auto& id : std::exchange(saved_, {})) {
        const auto session = find_session(id);
        if (refused.count(number++) != 0) {
            log::warning("session of {} is not taken over", session->name());
            continue;
        }
        session->on_handed_over();
        forget(*session);
    }
}

bool worker::may_take_over(const session_state& from) {
    const auto owner = decode_served_owner(from.owner);
    if (!owner || from.side != role::server) return false;
    const auto user = now_serving().find_user(from.agreed.user, 2);
    return user && user->key == owner->key;
}

void worker::take_over(const session_state& from, descriptor_list sockets) {
    auto made = std::make_unique<served_session>(*this, from, *decode_served_owner(from.owner));
    auto& added = *made;
    sessions_.emplace(&added, std::move(made));
    count();
    added.resume(from, std::move(sockets));
}

void worker::give_back() {
    for (const auto& [session, owned] : sessions_)
        session->on_handed_over();
    by_id_.clear();
    sessions_.clear();
}

// ---- Changes

void worker::reload(std::shared_ptr<const recipe> next) {
    const auto old = std::exchange(recipe_, std::move(next));
    const auto& settings = recipe_->settings;
    relay_timeouts_ = make_relay_timeouts(settings.timeouts, settings.tcp_keepalive);
    services_.request_timeout = settings.timeouts.request;
    udp_ = settings.udp;
    for (const auto session : all_sessions()) {
        session->driver().on_timeouts_changed();
        session->on_reload();
    }
    count();
}

void worker::drain() {
    for (const auto session : all_sessions())
        session->go_away(close_code::shutting_down, "the server is stopping");
}

bool worker::idle() const {
    for (const auto& [session, owned] : sessions_)
        if (!session->idle()) return false;
    return true;
}

std::size_t worker::kick(const std::string& user) {
    std::vector<served_session*> found;
    for (const auto& [session, owned] : sessions_)
        if (session->driver().core().established() && session->driver().core().user() == user)
            found.push_back(session);
    for (const auto session : found)
        session->close(close_code::normal, errc::closed_locally, "ended by the operator");
    return found.size();
}

void worker::close_all(close_code code, std::error_code why, std::string_view text) {
    // Only who has streams is cut off.
    for (const auto session : all_sessions())
        session->close(code, session->idle() ? make_error_code(errc::closed_locally) : why, text);
    incoming_.clear();
    count();
}

} // namespace muxsocks::server
