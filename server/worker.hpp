#pragma once

/// \file
/// One thread of the server: links that have not said whose they are, sessions, and their targets.
/// Threads share the recipe (immutable), the admission of links, the registry of sessions, the
/// accounts of users, the places for dials and files, and the memory budget; nothing of it on the
/// data path.

#include "protocol/link/dial/resolver.hpp"
#include "protocol/program/snapshot.hpp"
#include "protocol/program/succession.hpp"
#include "protocol/session/state.hpp"
#include "server/admission.hpp"
#include "server/dns_watch.hpp"
#include "server/recipe.hpp"
#include "server/session_registry.hpp"
#include "server/target_connection.hpp"
#include "server/usage_book.hpp"
#include "server/user_shares.hpp"
#include "server/user_table.hpp"

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <unordered_map>

namespace muxsocks::server {

class incoming_link;
class served_session;

/// What the bytes of a link may be with which a session begins: of any version, of version 2, or
/// what follows a JOIN that has failed.
enum class may_begin_as { any_version, version_2, begun };

/// What all workers share.
struct shared_state {
    shared_state(std::shared_ptr<const recipe> first, std::size_t file_limit)
        : admission_of_links(std::make_shared<admission>(first->settings.limits, make_go)),
          registry(first->settings.resume),
          dns(first->settings.dns),
          places(std::make_shared<dial_places>(first->settings.limits.dials,
                                               first->settings.limits.lookups)),
          budget(first->settings.memory.total),
          users(budget),
          files(file_limit),
          current(std::move(first)) {}

    /// For admission: tells the worker that a link of its has lost its place.
    static void make_go(worker& owner, admission::link_id id);

    std::shared_ptr<admission> admission_of_links;
    session_registry registry;
    dns_watch dns;
    std::shared_ptr<dial_places> places;
    shared_memory budget;
    user_table users;
    usage_book usage;
    /// Called where a quota has just been used up. Any thread; set it before there are sessions.
    std::function<void()> on_quota_used_up;
    file_places files;
    told_refusals refusals;
    std::atomic<bool> draining{false};
    /// Whether the sessions are another process's: a JOIN of one that is not here gets no answer,
    /// so that its client tries again.
    std::atomic<bool> moving{false};
    /// For new workers; each worker has its own pointer afterwards.
    std::shared_ptr<const recipe> current;
};

class worker {
  public:
    explicit worker(shared_state& shared);
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    asio::io_context& context() { return thread_.context(); }
    link_thread& thread() { return thread_; }
    shared_state& shared() { return shared_; }
    const recipe& now_serving() const { return *recipe_; }
    const std::shared_ptr<const recipe>& serving() const { return recipe_; }
    target_services& services() { return services_; }
    user_shares& shares() { return shares_; }

    /// Links and sessions here, for spreading new links. Any thread may ask.
    std::size_t load() const { return load_.load(std::memory_order_relaxed); }
    /// A new connection, accepted by another thread. Any thread may call it.
    void take(int descriptor, admission::ticket ticket, boost::asio::ip::address peer);
    /// A link that wants to resume a session of this worker. Any thread may call it.
    void take(link::parts parts, admission::ticket ticket, boost::asio::ip::address peer);

    /// Whether a session that was chosen to go stays if it has a link again.
    enum class eviction : bool { unless_back, in_any_case };
    /// Closes a session that was chosen to go, in its own thread, and then calls `done`.
    static void evict(const session_registry::victim& victim, const char* why,
                      eviction how = eviction::unless_back, std::function<void()> done = {});

    // The rest runs in the worker's own thread.

    /// What the user's sessions have moved, for the book of all; how it stands with its quota then.
    void count_traffic(user_account& user, const traffic& moved);
    /// The same for all sessions here.
    void count_traffic();
    void reload(std::shared_ptr<const recipe> next);
    void drain();
    bool idle() const;

    // ---- A hand-over.

    /// All that can go on elsewhere, in the order in which let_go() numbers them from `number` on,
    /// until `one` returns false.
    void save(const giving_sessions::send& one);
    /// Those that were saved are another process's, but for `refused`; `number` is the first one's
    /// here, and afterwards the next worker's.
    void let_go(std::uint32_t& number, const std::set<std::uint32_t>& refused);
    /// Whether the session may go on here.
    bool may_take_over(const session_state& from);
    /// A session of another process. Before the threads run, as is give_back(): all of them are
    /// the other process's after all.
    void take_over(const session_state& from, descriptor_list sockets);
    void give_back();

    /// Ends all sessions of the user, those that wait for a link, too; returns how many.
    std::size_t kick(const std::string& user);
    void close_all(close_code code, std::error_code why, std::string_view text);
    /// Looks at all sessions, some in each round of the event loop, however many there are; then
    /// calls `answer` once. (worker_snapshot.cpp)
    void show(const snapshot_request& request, std::function<void(snapshot)> answer);

    // For incoming_link and served_session.
    /// A new session whose first bytes are `first`; returns what it took of them.
    std::size_t begin_session(link_ptr on, admission::ticket ticket, boost::asio::ip::address peer,
                              may_begin_as as, bytes_view first);
    bool knows(incoming_link& one) const { return incoming_.contains(&one); }
    served_session* find_session(const session_id& id);
    /// The session has its id now, by which find_session() finds it until it is forgotten.
    void enlist(served_session& one);
    void add(std::unique_ptr<incoming_link> one);
    void forget(incoming_link& one);
    void forget(served_session& one);
    void on_authenticated(admission::link_id id) { authenticating_.erase(id); }
    void on_place_lost(admission::link_id id);

  private:
    struct survey;

    void count();
    void look_on(const std::shared_ptr<survey>& at);
    void look_at(served_session& one, survey& with);
    void finish(survey& with);
    void count_use(served_session& one);
    std::vector<served_session*> all_sessions() const;
    void look_at_users();

    shared_state& shared_;
    std::shared_ptr<const recipe> recipe_;
    link_thread thread_;
    user_shares shares_{thread_};
    std::unique_ptr<resolver> resolver_;
    std::unique_ptr<dialer> dialer_;
    name_lookups lookups_;
    relay_timeouts relay_timeouts_;
    udp_settings udp_;
    own_addresses own_; ///< For datagrams; the dialer has its own.
    target_services services_;
    std::unordered_map<incoming_link*, std::unique_ptr<incoming_link>> incoming_;
    /// In an order that holds while others come and go, for look_on().
    std::map<served_session*, std::unique_ptr<served_session>> sessions_;
    /// Sessions of which it is not known yet whose they are.
    std::unordered_map<admission::link_id, served_session*> authenticating_;
    std::unordered_map<session_id, served_session*, session_id_hash> by_id_;
    std::vector<session_id> saved_; ///< During a hand-over.
    /// Bytes that users have moved, as far as their sessions have told. Bounded: whoever gets here
    /// has authenticated.
    std::map<std::string, user_snapshot> used_;
    /// While there are sessions, and users whose terms depend on the time.
    deadline users_check_{thread_.clock(), [this] { look_at_users(); }};
    std::atomic<std::size_t> load_{0};
};

} // namespace muxsocks::server
